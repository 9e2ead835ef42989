"""A policy server's scheduling in simulated time: flows of known difficulty, an engine with service
times, and what the model's answers are worth. Pure: nothing reads a clock.

The scheduler and the queue are the server's own (`policy.scheduler`). What is made up are the
flows, the engine and the gain of the model's answer over the rule's, which grows with a flow's
difficulty and is a small loss on easy flows (`gain`). The scheduler sees none of these: it sees
windows, whose queueing delay is the difficulty, and outcomes, whose delivery rate has the gain in
it, with noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.scheduler.admission import AdmissionConfig, BatchQueue
from policy.scheduler.base import Adapts, Scheduler
from policy.scheduler.gauge import LoadGauge
from policy.scheduler.thresholds import ApcConfig
from policy.tasks.congestion.fields import FIELDS, F

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
STEP_NS = 5_000_000
WINDOW_STEPS = 20  # a window is 100 ms
DEADLINE_NS = 100_000_000
MIN_RTT_NS = 40e6
BANDWIDTH_BPS = 8e6
MOST_FLOWS = 256
_PHASE = np.arange(MOST_FLOWS) % WINDOW_STEPS
EASY, HARD = (-2.0, 0.7), (1.6, 1.0)
"""Mean and deviation of log2 of a flow's difficulty over the thresholds."""
STAYS = 0.98
"""Correlation of a flow's difficulty from window to window: some five seconds."""
NOISE = 0.2
"""Deviation of an outcome, in octaves."""
TICK_NS, TICK_FLOW_NS = 500_000, 8_000
"""Time of the event loop for a tick, and for each flow in it."""
ENGINE_NS, ENGINE_FLOW_NS, ENGINE_JITTER = 6e6, 4.5e6, 0.1
"""Time of the engine for a batch, for each flow in it, and its log deviation: two cores."""


def gain(difficulty: Floats) -> Floats:
    """What the model's answer is worth over the rule's, in octaves of power."""
    value: Floats = np.clip(0.25 * (difficulty + 1.0), -0.15, 0.9)
    return value


@dataclass(frozen=True)
class Stress:
    """What the flows and the engine do. flows, difficult: how many are open and which share of
    them is difficult, by seconds; slowness: factor on the engine's times.
    """

    name: str
    flows: Callable[[float], int]
    difficult: Callable[[float], float]
    slowness: Callable[[float], float] = lambda _: 1.0


def _between(low: float, high: float, from_s: float, to_s: float) -> Callable[[float], float]:
    return lambda s: high if from_s <= s < to_s else low


STRESSES = (
    Stress("steady", lambda _: 60, lambda _: 0.3),
    Stress(
        "load doubles within 1 s",
        lambda s: int(np.interp(s, [10, 11, 25, 26], [50, 100, 100, 50])),
        lambda _: 0.3,
    ),
    Stress("engine slowed by half", lambda _: 60, lambda _: 0.3, _between(1.0, 2.0, 10.0, 25.0)),
    Stress("difficult flows 10-90-10 %", lambda _: 60, _between(0.1, 0.9, 10.0, 25.0)),
    Stress("flows join in bursts", lambda s: 120 if s % 8 >= 5 else 40, lambda _: 0.4),
)


@dataclass
class Outcome:
    """What came of a run. first_ms: until the first answer, one entry for each window; gained,
    possible: sums of the gain over the windows that the model answered in time, and over all whose
    gain is positive; levels: the scheduler's level after each second.
    """

    first_ms: list[float] = field(default_factory=list)
    windows: int = 0
    by_model: int = 0
    late: int = 0
    gained: float = 0.0
    possible: float = 0.0
    levels: list[float] = field(default_factory=list)


class World:
    """Flows on the server's slots, and their windows."""

    def __init__(self, stress: Stress, seed: int) -> None:
        self._stress, self.random = stress, np.random.default_rng(seed)
        n = MOST_FLOWS
        self.open = np.zeros(n, bool)
        self._rank = self.random.permutation(n) / n  # below the share: a difficult flow
        self._noise = self.random.normal(size=n)
        self.difficulty: Floats = np.zeros(n)
        self.answered = np.zeros(n, bool)  # by the model, the window before
        self._rows: Floats = np.zeros((n, 5, len(FIELDS)))
        self._had: Ints = np.zeros(n, np.int64)

    def join(self, seconds: float) -> Ints:
        """Open and close flows; returns those that have ended."""
        wanted = min(self._stress.flows(seconds), MOST_FLOWS)
        now = int(self.open.sum())
        ended = np.flatnonzero(self.open)[wanted:] if now > wanted else np.empty(0, np.int64)
        begun = np.flatnonzero(~self.open)[: max(wanted - now, 0)]
        self.open[ended], self.open[begun] = False, True
        self._had[begun], self.answered[begun] = 0, False
        self._noise[begun] = self.random.normal(size=len(begun))
        return ended

    def windows(self, flows: Ints, seconds: float) -> FlowBatch:
        """One more window of each flow, in which the gain of the answer before shows."""
        n = len(flows)
        worth = gain(self.difficulty[flows]) * self.answered[flows]
        innovation = self.random.normal(size=n) * np.sqrt(1 - STAYS**2)
        self._noise[flows] = STAYS * self._noise[flows] + innovation
        hard = self._rank[flows] < self._stress.difficult(seconds)
        mean, spread = np.where(hard, HARD[0], EASY[0]), np.where(hard, HARD[1], EASY[1])
        self.difficulty[flows] = mean + spread * self._noise[flows]
        self.answered[flows] = False
        rows = np.zeros((n, len(FIELDS)))
        rows[:, F["duration_ns"]], rows[:, F["acks"]] = 100e6, 10
        threshold_ns = max(ApcConfig().queueing_on * MIN_RTT_NS, 25e6)
        rows[:, F["queueing_delay_ns"]] = threshold_ns * 2 ** self.difficulty[flows]
        # Its RTT holds the path's part alone: the queue is the flow's doing, not the answer's.
        rows[:, F["rtt_mean_ns"]] = rows[:, F["min_rtt_ns"]] = MIN_RTT_NS
        noise = NOISE * self.random.normal(size=n)
        rows[:, F["delivery_rate_bps"]] = BANDWIDTH_BPS / 2 * 2 ** (worth + noise)
        rows[:, F["app_limited_share"]] = 1.0
        self._rows[flows, :-1] = self._rows[flows, 1:]
        self._rows[flows, -1] = rows
        self._had[flows] += 1
        valid = np.arange(5)[::-1] < self._had[flows, None]
        full = np.full(n, 1.0)
        return FlowBatch(
            flows,
            self._rows[flows],
            valid,
            BANDWIDTH_BPS * full,
            MIN_RTT_NS * full,
            1448 * full,
        )


def play(stress: Stress, scheduler: Scheduler, seed: int, seconds: int) -> Outcome:
    """The stress under this scheduler; 20 windows of every flow at evenly spread times."""
    world, out = World(stress, seed), Outcome()
    adapts = scheduler if isinstance(scheduler, Adapts) else None
    queue, gauge = BatchQueue(MOST_FLOWS, AdmissionConfig(max_batch=64)), LoadGauge()
    window_of: Ints = np.zeros(MOST_FLOWS, np.int64)
    arrival: Ints = np.zeros(MOST_FLOWS, np.int64)
    known, by_model = np.zeros(MOST_FLOWS, bool), np.zeros(MOST_FLOWS, bool)
    batch: Ints = np.empty(0, np.int64)
    asked: Ints = batch
    begun_ns = done_ns = 0
    for step in range(seconds * 1000 * 1_000_000 // STEP_NS):
        now = step * STEP_NS
        at_s = now / 1e9
        if len(batch) and done_ns <= now:
            queue.done(len(batch), done_ns - begun_ns, done_ns)
            live = world.open[batch] & known[batch]
            late = live & (done_ns - arrival[batch] > DEADLINE_NS)
            gauge.late(int(np.count_nonzero(late)))
            out.late += int(np.count_nonzero(late))
            in_time = live & ~late & (window_of[batch] == asked)
            good = batch[in_time]
            world.answered[good] = by_model[good] = True
            out.by_model += len(good)
            out.gained += float(gain(world.difficulty[good]).sum())
            batch = batch[:0]
        if step % WINDOW_STEPS == 0 and len(ended := world.join(at_s)):
            queue.forget(ended)
            scheduler.forget(ended.tolist())
            known[ended] = False
        flows = np.flatnonzero(
            world.open & (np.arange(MOST_FLOWS) % WINDOW_STEPS == step % WINDOW_STEPS)
        )
        if len(flows):
            windows = world.windows(flows, at_s)
            window_of[flows] += 1
            arrival[flows] = now
            out.windows += len(flows)
            out.first_ms += [(TICK_NS + TICK_FLOW_NS * len(flows)) / 1e6] * len(flows)
            out.possible += float(np.maximum(gain(world.difficulty[flows]), 0).sum())
            before = known[flows]
            if before.any():
                scheduler.feedback(windows.only(before), by_model[flows[before]])
            known[flows], by_model[flows] = True, False
            difficult = scheduler.observe(windows) > 0
            queue.remove(flows[~difficult])
            hard = flows[difficult]
            deadline = np.full(len(hard), now + int(0.9 * DEADLINE_NS))
            admitted = int(np.count_nonzero(queue.admit(hard, deadline, now)))
            gauge.scheduled(len(hard), admitted)
            if adapts is not None and gauge.due(now):
                capacity_per_s = queue.service.capacity_per_s(0.9 * DEADLINE_NS)
                adapts.measured(gauge.read(now, capacity_per_s))
        if not len(batch) and len(queue):
            batch, given_up = queue.take(now)
            gauge.late(len(given_up))
            out.late += len(given_up)
            asked, begun_ns = window_of[batch], now
            took = (ENGINE_NS + ENGINE_FLOW_NS * len(batch)) * stress.slowness(at_s)
            done_ns = now + int(took * np.exp(ENGINE_JITTER * world.random.normal()))
        if step % 200 == 199:
            out.levels.append(float(getattr(scheduler, "level", 0.0)))
    return out
