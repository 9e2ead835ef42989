"""The league's cells on Ray: this machine by default, a cluster by its address.

Ray only spreads the work. Each of its tasks starts the same slot process as without Ray, in a scope
of its own; each host has one actor that owns its policy server. What travels: the job and its trace
out, one row back. Every host of a cluster needs this package, root and the same Python; the table
is written where the command was given.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from testbed.collect.slots import SLOT_STOP_S, slot_environment
from testbed.errors import UserError
from testbed.league.grid import Job
from testbed.league.plan import League
from testbed.league.processes import CORES_PER_SLOT, OnEnd, OnStart, answer_of, slot_argv
from testbed.league.server import server_settings, start_server
from testbed.system import signals
from testbed.system.process import Process
from testbed.system.scope import Scope

_POLL_S = 0.2
_READ_S = 5.0
_REACH_S = 5.0
_STOP_S = 30.0
_START_S = 660.0  # of a host's policy server


def run_on_ray(
    league: League,
    jobs: Sequence[Job],
    *,
    address: str | None,
    slots: int | None,
    policy_server: str | None,
    keep_runs: bool,
    on_start: OnStart,
    on_end: OnEnd,
) -> None:
    """Run the jobs, in order, at most `slots` at a time (None: as many as the cluster's CPUs
    allow).

    policy_server: address of a running one, instead of one per host. Raises UserError if Ray does
    not start or a policy server ends.
    """
    with Scope() as scope, ExitStack() as stack:
        cluster = _connect(stack, scope, address, slots)
        servers: _Servers | None = None
        settings = server_settings([job.scheme for job in jobs], league.grid.server)
        if settings is not None and policy_server is None:
            servers = stack.enter_context(_Servers(settings))
        traces = {
            name: ray.put(league.trace_path(name).read_bytes())
            for name in sorted({str(job.about["trace"]) for job in jobs})
        }
        addresses = servers.addresses if servers else {}
        runs = str((league.out / "runs").resolve()) if keep_runs else None
        run_cell = ray.remote(num_cpus=CORES_PER_SLOT, max_retries=0)(_run_cell)
        waiting, running = list(jobs), _Running()
        stack.enter_context(running)
        while waiting or running.jobs:
            while waiting and len(running.jobs) < cluster:
                job = waiting.pop(0).served_by(policy_server)
                on_start(job)
                name = str(job.about["trace"])
                task = run_cell.remote(job.model_dump_json(), traces[name], addresses, runs)
                running.jobs[task] = job
            done, _ = ray.wait(list(running.jobs), num_returns=1, timeout=_POLL_S)
            for task in done:
                job = running.jobs.pop(task)
                try:
                    line, error = ray.get(task)
                except RayError as failure:
                    line, error = "", f"Ray: {' '.join(str(failure).split())[:300]}"
                if error is None:
                    on_end(job, *answer_of(line))
                else:
                    on_end(job, None, error)
            if done and servers:
                servers.check()


def _connect(stack: ExitStack, scope: Scope, address: str | None, slots: int | None) -> int:
    """Start Ray here, or join a cluster; returns how many slots there are. Raises UserError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # leave CUDA_VISIBLE_DEVICES as it is
    if address is not None:
        _reach(address)
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
        else:
            # Its sockets' paths are limited to 107 characters, hence not inside the scope's own
            # folder.
            folder = f"/tmp/tbray-{scope.run_id.rpartition('-')[2]}"  # noqa: S108
            scope.record("tmp", folder)
            cpus = CORES_PER_SLOT * (slots or 1)
            ray.init(
                address="local", num_cpus=cpus, include_dashboard=False, _temp_dir=folder, **quiet
            )
    except (RayError, OSError, RuntimeError, ValueError, ConnectionError) as error:
        where = f"cluster {address}" if address else "this machine"
        raise UserError(f"Ray on {where}: {error}; or use --executor processes") from error
    stack.callback(ray.shutdown)
    # Ray has put handlers in place of the scope's that end the process without unwinding
    signals.install()
    cluster = int(ray.cluster_resources().get("CPU", 0)) // CORES_PER_SLOT
    if cluster < 1:
        raise UserError(
            f"Ray: the cluster has fewer than {CORES_PER_SLOT} CPUs, as much as one slot asks for"
        )
    return min(cluster, slots or cluster)


def _reach(address: str) -> None:
    """Ray itself tries an address that nobody listens on for ten minutes. Raises UserError."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "//" in host:
        return  # "auto", or a form that Ray knows better
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--ray-address {address}: nobody answers there: {error}; start Ray with `ray start "
            "--head`, or leave "
            "the option out to run on this machine"
        ) from error


class _Running:
    """The tasks under way; on the way out they are cancelled and waited for, so that each ends its
    own network.
    """

    def __init__(self) -> None:
        self.jobs: dict[Any, Job] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *reason: object) -> None:
        for task in self.jobs:
            ray.cancel(task, force=False)
        ray.wait(
            list(self.jobs), num_returns=len(self.jobs), timeout=_STOP_S
        ) if self.jobs else None


class _Servers:
    """A policy server on every host, started side by side."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        self._hosts = {
            node["NodeID"]: ray.remote(num_cpus=0)(_Host)
            .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote()
            for node in nodes
        }
        self._settings = dict(settings)
        self.addresses: dict[str, str] = {}

    def __enter__(self) -> _Servers:
        started = {name: host.start.remote(self._settings) for name, host in self._hosts.items()}
        try:
            self.addresses = {
                name: ray.get(task, timeout=_START_S) for name, task in started.items()
            }
        except BaseException as error:
            self.__exit__()
            if isinstance(error, RayError):
                raise UserError(f"policy server: {_cause(error)}") from error
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        stopped = [host.stop.remote() for host in self._hosts.values()]
        ray.wait(stopped, num_returns=len(stopped), timeout=_STOP_S)

    def check(self) -> None:
        """Raises UserError if one has ended: its cells would measure the agents' fallback."""
        try:
            ray.get([host.check.remote() for host in self._hosts.values()], timeout=_STOP_S)
        except RayError as error:
            raise UserError(f"policy server: {_cause(error)}") from error


def _cause(error: RayError) -> str:
    """What was raised at the other end, without Ray's traceback."""
    return str(getattr(error, "cause", None) or error)


class _Host:
    """Owns the policy server of a host."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._server: Process | None = None

    def start(self, settings: dict[str, Any]) -> str:
        scope = self._stack.enter_context(Scope())
        self._server, address = start_server(scope, settings, scope.tmp / "policy-server.log")
        return address

    def check(self) -> None:
        assert self._server is not None
        self._server.check()

    def stop(self) -> None:
        self._stack.close()


def _run_cell(
    job_json: str, trace: bytes, addresses: Mapping[str, str], runs: str | None
) -> tuple[str, str | None]:
    """One slot on whatever host this is; the line that it printed, or what went wrong.

    addresses: the policy server of each host; a host that joined later has none, and its cells
    start their own.
    """
    job = Job.model_validate_json(job_json)
    if "policy_server" not in job.scenario or job.scenario["policy_server"] is None:
        job = job.served_by(addresses.get(ray.get_runtime_context().get_node_id()))
    try:
        with Scope() as scope:
            file = scope.tmp / "trace.parquet"
            file.write_bytes(trace)
            job = job.model_copy(update={"scenario": {**job.scenario, "trace": str(file)}})
            run = Path(runs) / job.id if runs else scope.tmp / "run"
            argv = slot_argv(job, scope.tmp, run, keep_run=runs is not None)
            process = scope.spawn(argv, name="slot", env=slot_environment())
            try:
                while process.poll() is None:
                    time.sleep(_POLL_S)
                process.check()
                return process.read_line(_READ_S), None
            # also when the task is cancelled: with time to end its own network, agent and server
            finally:
                process.stop(SLOT_STOP_S)
    except UserError as error:
        return "", str(error)
