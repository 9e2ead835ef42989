"""Experience from the simulator instead of the testbed: minutes for what takes hours live.

Unless asked otherwise, only scenarios whose trace is for training are simulated, so that validation
and test judge on live experience; and only single flows without cross traffic or loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.api import PolicyContext
from policy.errors import NoDecision
from policy.objective import BALANCED
from policy.registry import create
from policy.tasks.base import Split
from policy.tasks.congestion import labels, schema
from policy.tasks.congestion.fields import FIELDS, F
from policy.tasks.congestion.history import History
from policy.tasks.congestion.labels import CapacityIntegral, Reward, Target
from policy.tasks.congestion.simulator import (
    MSS_BYTES,
    STEP_NS,
    Bbr,
    Controller,
    Cubic,
    Feedback,
    Links,
    PolicyController,
    Video,
    simulate,
)
from policy.tasks.congestion.windows import Records, WindowFolder
from testbed.collect.experience import taken_log2
from testbed.collect.grid import CollectRun
from testbed.controllers.registry import APC, label, parse
from testbed.errors import UserError
from testbed.run.capacity import trace_start_ns
from testbed.scenario import Scenario
from traces.parquet import read_parquet

Floats = NDArray[np.float64]
_BATCH = 64  # links simulated together: fewer cost as much, more need memory
_PREFIX = "simulated-"


@dataclass(frozen=True)
class Simulated:
    """What became of a batch of runs."""

    runs: int
    rows: int


def simulable(runs: Sequence[CollectRun], splits: Sequence[Split] = ("train",)) -> list[CollectRun]:
    """Those of the runs that the simulator can stand in for, of traces of these splits."""
    chosen = []
    for planned in runs:
        scenario = Scenario.model_validate(planned.scenario)
        single = scenario.flows == 1 and not scenario.cross_traffic and scenario.loss is None
        if (
            planned.split in splits
            and single
            and scenario.flow in ("bulk", "video")
            and not scenario.flow_options
        ):
            chosen.append(planned)
    return chosen


def left(runs: Sequence[CollectRun], out: Path) -> list[CollectRun]:
    """Those without a part yet."""
    return [planned for planned in runs if not (out / f"{_PREFIX}{planned.id}.parquet").exists()]


def run_simulated(
    runs: Sequence[CollectRun],
    out: Path,
    on_batch: Callable[[Simulated], None],
    *,
    processes: int = 1,
) -> None:
    """Simulate the runs under each of their controllers and write one part per run, whole.

    Raises UserError for a controller that cannot be simulated, and PolicyError or ModelError for a
    tier that cannot be built.
    """
    groups: dict[tuple[str, str], list[CollectRun]] = {}
    for planned in runs:
        groups.setdefault((planned.scenario["flow"], planned.scenario["duration"]), []).append(
            planned
        )
    size = min(_BATCH, max(1, -(-len(runs) // processes)))
    batches = [
        group[start : start + size]
        for group in groups.values()
        for start in range(0, len(group), size)
    ]
    # Fresh processes: what forks beside the threads of a numerical library may hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_run_batch, batch, out): batch for batch in batches}
        try:
            for future in as_completed(waiting):
                on_batch(Simulated(len(waiting[future]), future.result()))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _run_batch(runs: Sequence[CollectRun], out: Path) -> int:
    scenarios = [Scenario.model_validate(planned.scenario) for planned in runs]
    links = _links(runs, scenarios)
    seed = scenarios[0].seed
    parts: list[list[dict[str, Any]]] = [[] for _ in runs]
    for cc in scenarios[0].cc:
        recorder = _Recorder(_controller(cc, len(runs), seed), len(runs))
        video = (
            Video(len(runs), len(links.capacity_bps), seed)
            if scenarios[0].flow == "video"
            else None
        )
        try:
            simulate(links, recorder, source=video)
        except NoDecision as error:
            raise UserError(f"controllers: {label(cc)}: {error}") from error
        for index, planned in enumerate(runs):
            columns = recorder.columns(index, links, cc)
            count = len(columns["window"])
            run = f"{_PREFIX}{planned.id}"
            names = {
                "source_trace": planned.source_trace,
                "family": planned.family,
                "split": planned.split,
                "run": run,
            }
            names |= {"cell": label(cc), "cc": label(cc), "episode": f"{run}/{label(cc)}"}
            parts[index].append(
                {**{key: np.full(count, value) for key, value in names.items()}, **columns}
            )
    rows = 0
    for planned, cells in zip(runs, parts, strict=True):
        table = {name: np.concatenate([cell[name] for cell in cells]) for name in cells[0]}
        schema.write_part(out, f"{_PREFIX}{planned.id}", table)
        rows += len(table["window"])
    return rows


def _links(runs: Sequence[CollectRun], scenarios: Sequence[Scenario]) -> Links:
    edges_ns = np.arange(scenarios[0].duration_ns // STEP_NS + 1, dtype=np.int64) * STEP_NS
    capacity, buffers = [], []
    for planned, scenario in zip(runs, scenarios, strict=True):
        trace = read_parquet(Path(planned.scenario["trace"]))
        trace = trace.starting_at(trace_start_ns(scenario, trace))
        capacity.append(trace.capacity_bytes(edges_ns[:-1], edges_ns[1:]) * (8e9 / STEP_NS))
        buffers.append(
            scenario.buffer.limit_bytes(rate_bps=trace.mean_bps(), rtt_ns=scenario.rtt_ns)
        )
    rtt_ns = np.array([scenario.rtt_ns for scenario in scenarios], np.int64)
    return Links(np.stack(capacity, axis=1), rtt_ns // STEP_NS, np.array(buffers, np.float64))


def _controller(cc: str, flows: int, seed: int) -> Controller:
    asked = parse(cc)
    if asked.kind == "policy" and asked.rest != APC:
        objective = BALANCED if asked.objective is None else asked.objective
        policy = create(asked.rest, PolicyContext(flows, seed=seed))
        return PolicyController(policy, flows, objective=objective)
    if cc == "observe:cubic":
        return Cubic(flows)
    if cc == "observe:bbr":
        return Bbr(flows)
    raise UserError(
        f"controllers: {cc!r} cannot be simulated; policy:TIER, observe:bbr and observe:cubic can"
    )


class _Recorder:
    """A controller, and the windows that a policy server would have seen beside it."""

    def __init__(self, inner: Controller, flows: int) -> None:
        self.pacing_rate_bps, self.cwnd_packets = inner.pacing_rate_bps, inner.cwnd_packets
        self._inner = inner
        self._folder, self._history = WindowFolder(flows), History(flows)
        self._all = np.arange(flows)
        self._folder.open(self._all, np.zeros(flows, np.int64))
        self._queue: Floats = np.zeros(flows)
        self._window_ns = Target().window_ns
        self._rows: list[Floats] = []
        self._queues: list[Floats] = []

    def on_feedback(self, feedback: Feedback) -> None:
        """See Controller."""
        self._queue = feedback.queue_bytes
        self._inner.on_feedback(feedback)

    def on_records(self, records: Records, now_ns: int) -> None:
        """See Controller."""
        self._inner.on_records(records, now_ns)
        self.pacing_rate_bps, self.cwnd_packets = (
            self._inner.pacing_rate_bps,
            self._inner.cwnd_packets,
        )
        closing = self._all if now_ns % self._window_ns == 0 else self._all[:0]
        rows, _, _ = self._folder.fold(records, closing, np.full(len(closing), now_ns))
        if len(closing):
            self._rows.append(rows)
            self._queues.append(self._queue)

    def columns(self, link: int, links: Links, cc: str) -> dict[str, Any]:
        """The columns of one link but its names: as live, from the first estimates on and without
        the last window.
        """
        rows = np.stack([each[link] for each in self._rows])
        queue = np.array([each[link] for each in self._queues])
        known = np.flatnonzero((rows[:, F["bandwidth_bps"]] > 0) & (rows[:, F["min_rtt_ns"]] > 0))
        first = int(known[0]) if len(known) else len(rows) - 1
        end_ns = (np.arange(len(rows)) + 1) * self._window_ns
        rows, queue, end_ns = rows[first:], queue[first:], end_ns[first:]
        capacity_bps, rtt_ns = links.capacity_bps[:, link], int(links.rtt_ms[link]) * STEP_NS
        steps = np.arange(len(capacity_bps) + 1) * STEP_NS
        capacity = CapacityIntegral(
            steps, np.concatenate([[0.0], np.cumsum(capacity_bps * (STEP_NS / 8e9))])
        )
        target = Target()
        rate = labels.near_optimal_rate_bps(
            end_ns,
            capacity,
            queue_bytes=queue,
            committed_bytes=0.0,
            forward_delay_ns=0.0,
            rtt_ns=rtt_ns,
            target=target,
        )
        horizon_ns = max(target.horizon_windows * target.window_ns, rtt_ns)
        left_ns = end_ns - rtt_ns
        reward = labels.rewards(
            rows[:, F["delivery_rate_bps"]] * rows[:, F["duration_ns"]] / 8e9,
            capacity.between(left_ns - rows[:, F["duration_ns"]], left_ns),
            rows[:, F["queueing_delay_ns"]],
            rows[:, F["min_rtt_ns"]],
            rows[:, F["loss_rate"]],
            Reward(),
        )
        columns: Mapping[str, Any] = {
            "window": np.arange(len(rows)),
            "end_ns": end_ns,
            **{name: rows[:, F[name]] for name in FIELDS},
            "mss_bytes": np.full(len(rows), MSS_BYTES),
            "taken_log2": taken_log2(rows, cc),
            "near_optimal_bps": rate,
            "near_optimal_log2": labels.action_log2(rate, rows[:, F["bandwidth_bps"]]),
            "reward": reward,
            "return_to_go": labels.returns_to_go(reward),
            "queue_bytes": queue,
            "capacity_bps": capacity.between(end_ns, end_ns + horizon_ns) * 8e9 / horizon_ns,
        }
        # What comes within a horizon of the end is not known.
        count = max(0, len(rows) - 1 - int(np.ceil(horizon_ns / self._window_ns)))
        return {name: column[:count] for name, column in columns.items()}
