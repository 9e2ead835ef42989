"""The trace model: the capacity of one direction of a link over time.

A trace has one of two forms. `Steps` are piecewise-constant rates, optionally with one-way delay
and loss. `Opportunities` are moments at which so many bytes may leave, as Mahimahi records them
(Netravali et al., USENIX ATC 2015); they are kept as recorded, never binned into rates.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np

from traces.errors import TraceError
from traces.forms import MAX_TIME_NS, NS_PER_S, Float64s, Int64s, Opportunities, Steps
from traces.names import check_name


@dataclass(frozen=True, eq=False)
class Trace:
    """Capacity over time, in exactly one of the two forms.

    With `period_ns` the trace repeats. Without, the last step holds, or nothing more is delivered
    after the last opportunity. The name may become that of a file (`traces.names`).

    An opportunity may lie at `period_ns` itself (Mahimahi's last one does): it is delivered
    then, together with the first of the next round if that lies at 0. Raises TraceError when the
    forms or the period do not fit, or when the capacity is zero throughout.
    """

    name: str
    period_ns: int | None
    steps: Steps | None = None
    opportunities: Opportunities | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if (self.steps is None) == (self.opportunities is None):
            raise TraceError(f"trace {self.name}: give either steps or opportunities")
        if self.period_ns is not None:
            object.__setattr__(self, "period_ns", int(self.period_ns))
            first_end_ns = self._last_ns + (
                1 if self.steps is not None else 0
            )  # a step needs a duration
            if not max(first_end_ns, 1) <= self.period_ns <= MAX_TIME_NS:
                raise TraceError(
                    f"trace {self.name}: its period of {self.period_ns} ns must lie between its "
                    "last entry's time, "
                    f"{self._last_ns} ns, and 100 days"
                )
        holds_at_zero = (
            self.steps is None or self.period_ns is not None or self.steps.capacity_bps[-1] == 0
        )
        if self.total_bytes == 0 and holds_at_zero:
            raise TraceError(
                f"trace {self.name}: its capacity is zero throughout, nothing could be delivered"
            )

    @property
    def duration_ns(self) -> int:
        """The described span: the period, or where the last step starts or the last opportunity
        lies.
        """
        return self._last_ns if self.period_ns is None else self.period_ns

    @property
    def total_bytes(self) -> float:
        """Bytes that the described span carries, all opportunities included."""
        return float(self._carried_bytes[-1])

    def mean_bps(self) -> float:
        """Mean capacity over the described span; of a span that is a single moment, the rate that
        holds after it.
        """
        if self.duration_ns == 0:
            return float(self.steps.capacity_bps[-1]) if self.steps is not None else 0.0
        return self.total_bytes * 8 * NS_PER_S / self.duration_ns

    @overload
    def capacity_bytes(self, from_ns: int, to_ns: int) -> float: ...
    @overload
    def capacity_bytes(self, from_ns: Int64s, to_ns: Int64s | int) -> Float64s: ...
    @overload
    def capacity_bytes(self, from_ns: int, to_ns: Int64s) -> Float64s: ...
    def capacity_bytes(self, from_ns: Int64s | int, to_ns: Int64s | int) -> Float64s | float:
        """Bytes that may leave in [from_ns, to_ns), exactly; none before time zero. Arrays
        broadcast.
        """
        result = self._cumulative_bytes(np.asarray(to_ns)) - self._cumulative_bytes(
            np.asarray(from_ns)
        )
        return result if result.ndim else float(result)

    def time_of_bytes(self, carried_bytes: Float64s) -> Int64s:
        """When so many bytes (0 < bytes <= total_bytes, float64[n]) have become deliverable:
        int64[n] in ns.
        """
        index = np.searchsorted(self._carried_bytes[1:], carried_bytes, side="left")
        index = np.minimum(
            index, len(self._carried_bytes) - 2
        )  # the total itself, beyond by a rounding error
        if self.opportunities is not None:
            return self.opportunities.at_ns[index]
        assert self.steps is not None
        into_bytes = np.minimum(carried_bytes, self.total_bytes) - self._carried_bytes[index]
        # A step with capacity 0 is reached by rounding errors alone.
        rate_bps = np.maximum(self.steps.capacity_bps[index], 1.0)
        into_ns = np.rint(into_bytes * 8 * NS_PER_S / rate_bps)
        return np.asarray(self.steps.start_ns[index] + into_ns.astype(np.int64))

    def scaled(self, factor: float) -> "Trace":
        """The same trace with `factor` times the capacity.

        Opportunities keep their times; their sizes change, with the rounding carried on so that no
        interval is off by more than a byte. Raises TraceError.
        """
        if not (np.isfinite(factor) and factor > 0):
            raise TraceError(f"trace {self.name}: cannot scale by {factor}; give a number above 0")
        if self.steps is not None:
            return replace(
                self, steps=replace(self.steps, capacity_bps=self.steps.capacity_bps * factor)
            )
        assert self.opportunities is not None
        cumulative = np.rint(np.cumsum(self.opportunities.size_bytes) * factor).astype(np.int64)
        return replace(
            self,
            opportunities=replace(self.opportunities, size_bytes=np.diff(cumulative, prepend=0)),
        )

    def stretched(self, factor: float) -> "Trace":
        """The same trace with times `factor` times as long, at the same rates. Raises TraceError.

        Opportunities keep their sizes, so that their rate falls as their times grow.
        """
        if not (np.isfinite(factor) and factor > 0) or self.duration_ns * factor > MAX_TIME_NS:
            raise TraceError(
                f"trace {self.name}: cannot stretch {self.duration_ns / NS_PER_S:g} s by {factor}; "
                "give a number above 0 that leaves at most 100 days"
            )
        period_ns = None if self.period_ns is None else max(1, round(self.period_ns * factor))
        if self.steps is not None:
            starts = np.rint(self.steps.start_ns * factor).astype(np.int64)
            return replace(self, period_ns=period_ns, steps=replace(self.steps, start_ns=starts))
        assert self.opportunities is not None
        at_ns = np.rint(self.opportunities.at_ns * factor).astype(np.int64)
        return replace(
            self, period_ns=period_ns, opportunities=replace(self.opportunities, at_ns=at_ns)
        )

    def clipped(self, duration_ns: int) -> "Trace":
        """The first `duration_ns` of the trace, repeating after that if the trace repeats.

        A longer duration changes nothing. Raises TraceError when nothing would be left.
        """
        if duration_ns <= 0:
            raise TraceError(
                f"trace {self.name}: cannot clip to {duration_ns} ns; give a duration above 0"
            )
        if duration_ns >= self.duration_ns:
            return self
        period_ns = None if self.period_ns is None else duration_ns
        if self.opportunities is not None:
            end = int(np.searchsorted(self.opportunities.at_ns, duration_ns))
            kept = Opportunities(
                self.opportunities.at_ns[:end], self.opportunities.size_bytes[:end]
            )
            return Trace(self.name, period_ns, opportunities=kept)
        assert self.steps is not None
        steps = self.steps
        end = int(np.searchsorted(steps.start_ns, duration_ns))
        delay_ns = None if steps.delay_ns is None else steps.delay_ns[:end]
        loss = None if steps.loss is None else steps.loss[:end]
        return Trace(
            self.name,
            period_ns,
            Steps(steps.start_ns[:end], steps.capacity_bps[:end], delay_ns, loss),
        )

    def starting_at(self, offset_ns: int) -> "Trace":
        """The trace from `offset_ns` on; one that repeats goes on with its beginning. Raises
        TraceError.
        """
        if offset_ns == 0:
            return self
        if not 0 < offset_ns < self.duration_ns:
            raise TraceError(
                f"trace {self.name}: cannot start at {offset_ns / NS_PER_S:g} s; "
                f"it describes {self.duration_ns / NS_PER_S:g} s"
            )
        if self.opportunities is not None:
            return replace(
                self, opportunities=self._opportunities_from(self.opportunities, offset_ns)
            )
        assert self.steps is not None
        steps = self.steps
        first = int(np.searchsorted(steps.start_ns, offset_ns, side="right")) - 1
        order, starts = np.arange(first, len(steps.start_ns)), steps.start_ns[first:] - offset_ns
        starts[0] = 0
        if self.period_ns is not None:
            before = steps.start_ns < offset_ns
            order = np.append(order, np.flatnonzero(before))
            starts = np.append(starts, steps.start_ns[before] + self.period_ns - offset_ns)
        columns = (steps.capacity_bps, steps.delay_ns, steps.loss)
        moved = Steps(starts, *(None if column is None else column[order] for column in columns))  # type: ignore[arg-type]
        return replace(self, steps=moved)

    def _opportunities_from(self, old: Opportunities, offset_ns: int) -> Opportunities:
        later = old.at_ns >= offset_ns
        at_ns, size_bytes = old.at_ns[later] - offset_ns, old.size_bytes[later]
        if self.period_ns is not None:
            at_ns = np.append(at_ns, old.at_ns[~later] + self.period_ns - offset_ns)
            size_bytes = np.append(size_bytes, old.size_bytes[~later])
        return Opportunities(at_ns, size_bytes)

    @property
    def _last_ns(self) -> int:
        if self.steps is not None:
            return int(self.steps.start_ns[-1])
        assert self.opportunities is not None
        return int(self.opportunities.at_ns[-1])

    @cached_property
    def _carried_bytes(self) -> Float64s:
        """Bytes carried before entry i, and in the described span as a whole: float64[k + 1]."""
        if self.steps is not None:
            ends_ns = np.append(self.steps.start_ns[1:], self.duration_ns)
            carried = (ends_ns - self.steps.start_ns) * self.steps.capacity_bps / (8 * NS_PER_S)
        else:
            assert self.opportunities is not None
            carried = self.opportunities.size_bytes.astype(np.float64)
        return np.concatenate(([0.0], np.cumsum(carried)))

    def _cumulative_bytes(self, at_ns: Int64s) -> Float64s:
        """Bytes that may leave before `at_ns`."""
        at_ns = np.maximum(at_ns.astype(np.int64), 0)
        rounds = np.zeros_like(at_ns)
        if self.period_ns is not None:
            # A round is (0, period] here, so that an opportunity at its end counts to the round
            # that it closes.
            rounds = np.maximum((at_ns - 1) // self.period_ns, 0)
            at_ns = at_ns - rounds * self.period_ns
        carried = self._carried_bytes
        if self.steps is not None:
            index = np.searchsorted(self.steps.start_ns, at_ns, side="right") - 1
            into_ns = at_ns - self.steps.start_ns[index]
            within = carried[index] + into_ns * self.steps.capacity_bps[index] / (8 * NS_PER_S)
        else:
            assert self.opportunities is not None
            within = carried[np.searchsorted(self.opportunities.at_ns, at_ns, side="left")]
        return np.asarray(rounds * carried[-1] + within, dtype=np.float64)


def same_capacity(one: Trace, other: Trace) -> bool:
    """Whether two traces are the same but for their names."""
    if one.period_ns != other.period_ns:
        return False
    forms = ((one.steps, other.steps), (one.opportunities, other.opportunities))
    return all(_columns_equal(mine, theirs) for mine, theirs in forms)


def _columns_equal(mine: object | None, theirs: object | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    pairs = zip(vars(mine).values(), vars(theirs).values(), strict=True)
    return all(
        np.array_equal(one, other) if one is not None else other is None for one, other in pairs
    )


def constant(rate_bps: float) -> Trace:
    """A capacity of `rate_bps` for ever. Raises TraceError."""
    return Trace(
        f"constant-{rate_bps / 1e6:g}mbit",
        None,
        Steps(np.array([0]), np.array([rate_bps], dtype=np.float64)),
    )
