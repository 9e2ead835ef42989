"""The two forms of a trace's content: piecewise-constant rates, and delivery opportunities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.errors import TraceError

NS_PER_S = 1_000_000_000
MAX_RATE_BPS = 1e12
MAX_TIME_NS = 100 * 24 * 3600 * NS_PER_S  # below 2**53, so that a float holds every time exactly
MAX_DELAY_NS = 60 * NS_PER_S
MAX_OPPORTUNITY_BYTES = 1 << 40

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Steps:
    """Piecewise-constant capacity: row i holds from `start_ns[i]` to `start_ns[i + 1]`; k >= 1
    rows.

    A capacity of 0 is an outage. `delay_ns` is one-way; `loss` is a fraction of packets. Raises
    TraceError.
    """

    start_ns: Int64s
    capacity_bps: Float64s
    delay_ns: Int64s | None = None
    loss: Float64s | None = None

    def __post_init__(self) -> None:
        _freeze(self, "start_ns", np.int64, 0, MAX_TIME_NS)
        _freeze(self, "capacity_bps", np.float64, 0, MAX_RATE_BPS)
        if self.delay_ns is not None:
            _freeze(self, "delay_ns", np.int64, 0, MAX_DELAY_NS)
        if self.loss is not None:
            _freeze(self, "loss", np.float64, 0, 1)
        _check_lengths(
            len(self.start_ns),
            capacity_bps=self.capacity_bps,
            delay_ns=self.delay_ns,
            loss=self.loss,
        )
        if self.start_ns[0] != 0:
            raise TraceError(f"the first step starts at {self.start_ns[0]} ns; it must start at 0")
        later = np.diff(self.start_ns) > 0
        if not later.all():
            raise TraceError(
                f"step {int(np.argmin(later)) + 1} does not start after the step before it"
            )


@dataclass(frozen=True, eq=False)
class Opportunities:
    """Delivery opportunities: at `at_ns[i]` (sorted, repeats allowed) up to `size_bytes[i]` may
    leave.

    Raises TraceError.
    """

    at_ns: Int64s
    size_bytes: Int64s

    def __post_init__(self) -> None:
        _freeze(self, "at_ns", np.int64, 0, MAX_TIME_NS)
        _freeze(self, "size_bytes", np.int64, 0, MAX_OPPORTUNITY_BYTES)
        _check_lengths(len(self.at_ns), size_bytes=self.size_bytes)
        sorted_pairs = np.diff(self.at_ns) >= 0
        if not sorted_pairs.all():
            raise TraceError(
                f"opportunity {int(np.argmin(sorted_pairs)) + 1} comes before the one before it"
            )


def _freeze(
    owner: object, name: str, dtype: type[np.int64 | np.float64], low: float, high: float
) -> None:
    """Give a column its type, check its range and make it read-only."""
    column = np.array(getattr(owner, name), dtype=dtype)
    column.setflags(write=False)
    if column.ndim != 1:
        raise TraceError(f"{name} must be a list of numbers")
    good = (column >= low) & (column <= high)  # false for NaN
    if not good.all():
        index = int(np.argmin(good))
        raise TraceError(
            f"{name}[{index}] is {column[index]}; it must lie between {low:g} and {high:g}"
        )
    object.__setattr__(owner, name, column)


def _check_lengths(length: int, **columns: Int64s | Float64s | None) -> None:
    for name, column in columns.items():
        if column is not None and len(column) != length:
            raise TraceError(f"{name} has {len(column)} values, {length} are needed")
    if length == 0:
        raise TraceError("the trace is empty")
