"""Adaptive policy collaboration, second half: how many difficult flows the model can answer in
time. Pure.

The engine answers one batch after the other. How long a batch of n takes is learnt as it runs. A
flow is admitted to the batch queue only if, by that model, its batch ends before its deadline and
no earlier flow of it becomes late.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Ints = NDArray[np.int64]
FORGET_NS = 5_000_000_000
FORGET_FACTOR = 0.7
IDLE_NS = 1_000_000_000
IDLE_FACTOR = 0.5


class AdmissionConfig(BaseModel):
    """How the model's batches are planned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_batch: int = Field(default=256, ge=1, le=4096)
    """Flows in one call of the engine; it may take fewer (64 on a CPU)."""
    margin: float = Field(default=0.1, ge=0, lt=1)
    """Share of the deadline kept back for the way to the agent."""
    deviations: float = Field(default=2.0, ge=0)
    """A batch is planned to take its mean time plus this many mean deviations."""
    first_guess_ms: float = Field(default=20.0, gt=0)
    """Time of one flow alone before anything has been measured."""


class ServiceTime:
    """Time of a batch by its size, in buckets of powers of two: mean and mean deviation, as TCP
    estimates RTTs (RFC 6298: gains 1/8 and 1/4)."""

    def __init__(self, config: AdmissionConfig) -> None:
        self._deviations = config.deviations
        buckets = (config.max_batch - 1).bit_length() + 1
        self._sizes = np.minimum(2 ** np.arange(buckets), config.max_batch)
        self._mean = np.zeros(buckets)  # ns; 0: never measured
        self._deviation = np.zeros(buckets)
        self._seen_ns: Ints = np.zeros(buckets, np.int64)
        self._guess_ns = config.first_guess_ms * 1e6
        self._plan()

    def observe(self, size: int, took_ns: int, now_ns: int) -> None:
        """A batch of `size` took so long, up to now."""
        bucket = int(np.searchsorted(self._sizes, size))
        self._seen_ns[bucket] = now_ns
        if self._mean[bucket] == 0:
            self._mean[bucket], self._deviation[bucket] = took_ns, took_ns / 4
        else:
            error = took_ns - self._mean[bucket]
            self._deviation[bucket] += (abs(error) - self._deviation[bucket]) / 4
            self._mean[bucket] += error / 8
        self._plan()

    def age(self, now_ns: int) -> None:
        """Shorten what was not measured for a while: else one slow batch would keep its size from
        ever being tried.

        Sooner where no size was measured: then a slow batch may be keeping the model out
        altogether.
        """
        idle = now_ns - int(self._seen_ns.max()) > IDLE_NS
        old = (self._mean > 0) & (idle | (now_ns - self._seen_ns > FORGET_NS))
        if old.any():
            factor = IDLE_FACTOR if idle else FORGET_FACTOR
            self._mean[old] *= factor
            self._deviation[old] *= factor
            self._seen_ns[old] = now_ns
            self._plan()

    def _plan(self) -> None:
        """Planned time of each bucket.

        One never measured: in proportion to the next smaller one that was, but not above the next
        larger. Larger batches are never planned to take less than smaller ones.
        """
        measured = np.flatnonzero(self._mean)
        plan = self._mean + self._deviations * self._deviation
        if not len(measured):
            plan = self._guess_ns * self._sizes.astype(np.float64)
        else:
            for bucket in np.flatnonzero(self._mean == 0):
                smaller, larger = measured[measured < bucket], measured[measured > bucket]
                scaled = (
                    plan[smaller[-1]] * self._sizes[bucket] / self._sizes[smaller[-1]]
                    if len(smaller)
                    else np.inf
                )
                plan[bucket] = min(scaled, plan[larger[0]] if len(larger) else np.inf)
        self._planned = np.maximum.accumulate(plan)

    def planned_ns(self, size: int) -> float:
        """Time that a batch of `size` is planned to take; 0 for an empty one."""
        return float(self._planned[np.searchsorted(self._sizes, size)]) if size else 0.0

    def largest(self, available_ns: float) -> int:
        """The largest batch planned to end within `available_ns`; 0: not even one flow."""
        fits = int(np.searchsorted(self._planned, available_ns, side="right"))
        return int(self._sizes[fits - 1]) if fits else 0

    def capacity_per_s(self, available_ns: float) -> float:
        """Flows a second that the engine answers, one batch after the other, by the mean times of
        those batches that are planned to end within `available_ns`.
        """
        fits = self._planned <= available_ns
        if not fits.any():
            return 0.0
        mean = np.where(self._mean > 0, self._mean, self._planned)
        return float((self._sizes[fits] / mean[fits]).max()) * 1e9


class BatchQueue:
    """Flows that wait for the engine, at most one entry each; the newest window of a flow is the
    one answered.

    Admitted flows wait in order of admission. Of more candidates than fit, those go first that have
    waited longest since the model last took them, so a flow that stays difficult is served in turn.
    """

    def __init__(self, flows: int, config: AdmissionConfig) -> None:
        self.service = ServiceTime(config)
        self._config = config
        self._waiting: Ints = np.empty(0, np.int64)
        self._waits = np.zeros(flows, bool)  # which flows are in it
        self._deadline_ns: Ints = np.zeros(flows, np.int64)
        self._turn: Ints = np.zeros(flows, np.int64)  # when the model last took the flow; 0: never
        self._taken = 0
        self._busy_until_ns = 0.0
        self._running = False

    def __len__(self) -> int:
        return len(self._waiting)

    def remove(self, flows: Ints) -> None:
        """These flows have ended, or are easy again."""
        if len(self._waiting):
            self._waits[flows] = False
            self._waiting = self._waiting[self._waits[self._waiting]]

    def forget(self, flows: Ints) -> None:
        """These flow numbers have ended."""
        self.remove(flows)
        self._turn[flows] = 0

    def admit(self, flows: Ints, deadline_ns: Ints, now_ns: int) -> NDArray[np.bool_]:
        """Which of the candidates can be answered by their deadlines; these wait from now on.

        A candidate that waits already keeps its place and gets its new deadline.
        """
        self.service.age(now_ns)
        waits = self._waits[flows]
        self._deadline_ns[flows] = deadline_ns
        admitted = waits.copy()
        order = np.flatnonzero(~waits)
        order = order[np.argsort(self._turn[flows[order]], kind="stable")]
        start = max(float(now_ns), self._busy_until_ns if self._running else 0.0)
        room = self._room(start, flows[order])
        admitted[order[:room]] = True
        self._append(flows[order[:room]])
        return admitted

    def _append(self, flows: Ints) -> None:
        self._waits[flows] = True
        self._waiting = np.concatenate((self._waiting, flows))

    def _room(self, start_ns: float, candidates: Ints) -> int:
        """How many of the candidates, in this order, fit behind those who wait."""
        largest, queue = self._config.max_batch, np.concatenate((self._waiting, candidates))
        deadlines = self._deadlines(queue)
        position = (
            len(self._waiting) // largest * largest
        )  # of the batch that the next candidate joins
        start_ns += position // largest * self.service.planned_ns(largest)
        while position < len(queue):
            batch = deadlines[position : position + largest]
            # Size k ends in time if the earliest deadline of the first k allows it.
            slack = np.minimum.accumulate(batch) - start_ns
            size = len(batch)
            while size and self.service.planned_ns(size) > slack[size - 1]:
                size -= 1
            end = position + size
            if size < len(batch) or end == len(queue):
                return max(end - len(self._waiting), 0)
            start_ns += self.service.planned_ns(size)
            position = end
        return 0

    def _deadlines(self, flows: Ints) -> NDArray[np.float64]:
        return self._deadline_ns[flows].astype(np.float64)

    def take(self, now_ns: int) -> tuple[Ints, Ints]:
        """The next batch for the idle engine, and the flows given up because they would be late."""
        in_time = self._deadlines(self._waiting) >= now_ns + self.service.planned_ns(1)
        late, waiting = self._waiting[~in_time], self._waiting[in_time]
        slack = np.minimum.accumulate(self._deadlines(waiting[: self._config.max_batch])) - now_ns
        size = len(slack)
        while size > 1 and self.service.planned_ns(size) > slack[size - 1]:
            size -= 1
        batch, self._waiting = waiting[:size], waiting[size:]
        self._waits[late] = False
        self._start(batch, now_ns)
        return batch, late

    def take_all(self, now_ns: int) -> Ints:
        """The next batch, however late: for a tier that answers alone."""
        batch, self._waiting = (
            self._waiting[: self._config.max_batch],
            self._waiting[self._config.max_batch :],
        )
        self._start(batch, now_ns)
        return batch

    def join(self, flows: Ints) -> None:
        """Wait without a deadline: for a tier that answers alone."""
        self._append(flows[~self._waits[flows]])

    def _start(self, batch: Ints, now_ns: int) -> None:
        if len(batch):
            self._waits[batch] = False
            self._turn[batch] = self._taken + 1 + np.arange(len(batch))
            self._taken += len(batch)
            self._running = True
            self._busy_until_ns = now_ns + self.service.planned_ns(len(batch))

    def done(self, size: int, took_ns: int, now_ns: int) -> None:
        """The engine has answered."""
        self._running = False
        self.service.observe(size, took_ns, now_ns)

    def failed(self) -> None:
        """The engine has not: how long that took says nothing of its speed."""
        self._running = False
