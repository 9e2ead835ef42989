"""The master: lets jobs arrive, asks the scheduler, gives tasks to workers, and hears of their end.

Which executor goes where is the simulator's own code (`policy.tasks.cjs.live`); here is what it
needs of the real world: the clock, the workers, and where outputs lie.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from policy.tasks.cjs.live import Launch, LiveCluster
from policy.tasks.cjs.simulator.layout import FIRST, JOB, NOWHERE
from policy.tasks.cjs.splits import work_ms
from testbed.errors import UserError
from testbed.traffic.base import FlowSpec
from testbed.traffic.jobs import control, logs
from testbed.traffic.jobs.decide import Decider
from testbed.traffic.jobs.options import JobsOptions
from testbed.traffic.jobs.sources import shares
from testbed.traffic.jobs.worker import Place
from testbed.traffic.process import Interval, Terminated, await_start, wait_for
from testbed.units import NS_PER_MS, NS_PER_S

_PATIENCE_S = 60.0  # until all workers are there
_LONGEST_WAIT_S = 0.05


@dataclass
class _Worker:
    """A worker as the master knows it: its slots are those from ``first`` on."""

    place: Place
    first: int
    sock: socket.socket
    gone: bool = False


@dataclass(frozen=True)
class _Running:
    """A task that a worker has been given."""

    launch: Launch
    worker: _Worker
    start_ns: int
    compute_ns: int
    input_bytes: int
    remote_bytes: int


class Master:
    """Schedules one cell. The clock of the cluster begins with ``interval``."""

    def __init__(
        self, spec: FlowSpec, options: JobsOptions, workers: list[_Worker], decide: Decider
    ) -> None:
        self._spec, self._options, self._decider = spec, options, decide
        self._workers = workers
        slots = sum(worker.place.slots for worker in workers)
        environment = options.environment(spec.seed, slots)
        self._live = LiveCluster(environment)
        self._kinds = options.arrivals(spec.seed, slots).kind.tolist()
        self._of_slot = [worker for worker in workers for _ in range(worker.place.slots)]
        self._address = {worker.place.worker: worker.place.address for worker in workers}
        self._outputs: dict[tuple[int, int], Counter[int]] = {}
        self._running: dict[int, _Running] = {}
        self._runs = 0
        self._start_ns = 0
        self._tasks: list[logs.TaskRow] = []
        self._placements: list[logs.PlacementRow] = []

    def run(self, interval: Interval, terminated: Terminated) -> None:
        """Until all jobs are done, the stop time or SIGTERM. Raises UserError if no worker is
        left.
        """
        self._start_ns = interval.start_ns
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.sock, selectors.EVENT_READ, worker)
            while not terminated and not self._live.finished:
                now_ns = time.monotonic_ns()
                if now_ns >= interval.stop_ns:
                    break
                self._settle()
                for key, _ in selector.select(self._wait_s(interval.stop_ns)):
                    if not self._hear(key.data):
                        selector.unregister(key.data.sock)

    def write(self) -> None:
        """Write the logs. Raises OSError."""
        logs.write(self._spec, "jobs", logs.JobRow, self._jobs())
        logs.write(self._spec, "tasks", logs.TaskRow, self._tasks)
        logs.write(self._spec, "placements", logs.PlacementRow, self._placements)

    def close(self) -> None:
        """Let go of workers and server."""
        for worker in self._workers:
            worker.sock.close()
        self._decider.close()

    def _now_ms(self) -> float:
        return self._ms(time.monotonic_ns())

    def _ms(self, at_ns: int) -> float:
        """A time of the cluster's clock."""
        return (at_ns - self._start_ns) / NS_PER_MS * self._options.speed

    def _ns(self, ms: float) -> int:
        """A length of the cluster's clock as a real one."""
        return round(ms * NS_PER_MS / self._options.speed)

    def _wait_s(self, stop_ns: int) -> float:
        left_s = (stop_ns - time.monotonic_ns()) / NS_PER_S
        next_ms = self._live.next_ms()
        if next_ms is not None:
            left_s = min(left_s, self._ns(next_ms - self._now_ms()) / NS_PER_S)
        return max(0.0, min(left_s, _LONGEST_WAIT_S))

    def _settle(self) -> None:
        """Decide as long as decisions are due, and start what is to start."""
        environment = self._live.environment
        while self._live.advance(self._now_ms()):
            decision = self._decider.choose(environment)
            at_ns = time.monotonic_ns()
            self._live.decide(decision.stage, decision.executors, self._ms(at_ns))
            job = stage = NOWHERE
            if decision.stage != NOWHERE:
                cluster = environment.cluster
                job = int(cluster.stage[decision.stage, JOB])
                stage = decision.stage - int(cluster.job[job, FIRST])
            self._placements.append(
                logs.PlacementRow(
                    self._spec.flow, at_ns, job, stage, decision.executors, decision.source,
                    decision.elapsed_ns,
                )
            )  # fmt: skip
        for launch in self._live.launches():
            self._launch(launch)

    def _launch(self, launch: Launch) -> None:
        worker = self._of_slot[launch.slot]
        size = round(launch.input_bytes * self._options.shuffle_scale)
        held = [self._outputs.get((launch.job, parent), Counter()) for parent in launch.parents]
        parts = shares(size, held)
        own = parts.pop(worker.place.worker, 0)
        start_ns = self._start_ns + self._ns(launch.start_ms)
        compute_ns = self._ns(launch.compute_ms)
        self._runs += 1
        self._running[self._runs] = _Running(
            launch, worker, start_ns, compute_ns, own + sum(parts.values()), sum(parts.values())
        )
        with suppress(OSError):  # it has gone: its end is heard next
            control.send(
                worker.sock,
                {
                    "run": self._runs,
                    "slot": launch.slot - worker.first,
                    "start_ns": start_ns,
                    "compute_ns": compute_ns,
                    "inputs": [[self._address[number], part] for number, part in parts.items()],
                },
            )

    def _hear(self, worker: _Worker) -> bool:
        """What a worker says; False: it has gone."""
        message = control.receive(worker.sock)
        if message is None:
            self._lose(worker)
            return False
        running = self._running.pop(int(message["run"]), None)
        if running is not None:
            self._end(running, message)
        return True

    def _end(self, running: _Running, message: dict[str, Any]) -> None:
        launch, end_ns = running.launch, int(message["end_ns"])
        where = self._outputs.setdefault((launch.job, launch.stage), Counter())
        where[running.worker.place.worker] += 1
        fetched_ns, late_ns = int(message["fetched_ns"]), int(message["late_ns"])
        fetched_ms = max(0.0, self._ms(fetched_ns) - launch.start_ms)
        self._live.ended(launch.slot, self._ms(end_ns), fetched_ms)
        self._log(running, fetched_ns, end_ns, late_ns, lost=False)

    def _lose(self, worker: _Worker) -> None:
        """A worker has ended: its tasks are run again elsewhere. What they had left before stays
        with the shuffle service.
        """
        worker.gone = True
        now_ns = time.monotonic_ns()
        for slot in range(worker.first, worker.first + worker.place.slots):
            self._live.lose(slot)
        for run in [run for run, one in self._running.items() if one.worker is worker]:
            running = self._running.pop(run)
            end_ns = max(now_ns, running.start_ns)
            self._log(running, end_ns, end_ns, 0, lost=True)
        if not self._live.slots:
            raise UserError("no worker is left: all have ended before the jobs were done")

    def _log(
        self, running: _Running, fetched_ns: int, end_ns: int, late_ns: int, *, lost: bool
    ) -> None:
        launch, place = running.launch, running.worker.place
        self._tasks.append(
            logs.TaskRow(
                flow=self._spec.flow,
                job=launch.job,
                stage=launch.stage,
                task=launch.task,
                worker=place.worker,
                host=place.address,
                slot=launch.slot - running.worker.first,
                start_ns=running.start_ns,
                fetched_ns=min(fetched_ns, end_ns),
                end_ns=end_ns,
                compute_ns=running.compute_ns,
                late_ns=late_ns,
                input_bytes=running.input_bytes,
                remote_bytes=running.remote_bytes,
                lost=lost,
            )
        )

    def _jobs(self) -> list[logs.JobRow]:
        """Those that have arrived."""
        rows = []
        now_ms = self._now_ms()
        for number, kind in enumerate(self._kinds):
            arrival_ms, done_ms = self._live.times_ms(number)
            job = self._options.kinds[kind]
            if arrival_ms > now_ms:
                continue
            rows.append(
                logs.JobRow(
                    flow=self._spec.flow,
                    job=number,
                    query=job.query,
                    size_gb=job.size_gb,
                    stages=len(job.stages),
                    tasks=sum(stage.tasks for stage in job.stages),
                    work_ns=self._ns(work_ms(job)),
                    arrival_ns=self._start_ns + self._ns(arrival_ms),
                    done_ns=None if done_ms is None else self._start_ns + self._ns(done_ms),
                )
            )
        return rows


def lead(spec: FlowSpec, terminated: Terminated, workers: int) -> None:
    """Wait for so many workers, say ready, and schedule. Raises UserError, OSError, PolicyError."""
    options = JobsOptions.model_validate(spec.options)
    options.check()
    with control.listening(spec.log_dir) as waiting:
        try:
            there = _assembled(waiting, workers, terminated)
        finally:
            control.unlink(spec.log_dir)
    if there is None:
        return
    master = Master(spec, options, there, options.decider(spec.policy_server))
    try:
        interval = await_start(terminated)
        if interval is not None:
            try:
                master.run(interval, terminated)
            finally:
                master.write()
    finally:
        master.close()


def _assembled(
    waiting: socket.socket, workers: int, terminated: Terminated
) -> list[_Worker] | None:
    """All workers, by number; None after SIGTERM. Raises UserError if one does not come."""
    until_ns = time.monotonic_ns() + round(_PATIENCE_S * NS_PER_S)
    hellos: dict[int, tuple[Place, socket.socket]] = {}
    while len(hellos) < workers:
        if not wait_for(waiting.fileno(), selectors.EVENT_READ, terminated, until_ns):
            if terminated:
                return None
            raise UserError(f"{len(hellos)} of {workers} workers came in {_PATIENCE_S:g} s")
        sock, _ = waiting.accept()
        hello = control.receive(sock)
        if hello is not None:
            place = Place(int(hello["worker"]), str(hello["address"]), int(hello["slots"]))
            hellos[place.worker] = (place, sock)
    found: list[_Worker] = []
    first = 0
    for number in sorted(hellos):
        place, sock = hellos[number]
        found.append(_Worker(place, first, sock))
        first += place.slots
    return found
