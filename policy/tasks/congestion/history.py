"""The newest windows of every flow, in preallocated arrays indexed by slot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.objective import BALANCED
from policy.tasks.congestion.fields import FIELDS, HISTORY, F

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
DEFAULT_MSS_BYTES = 1448.0
DEFAULT_MIN_RTT_NS = 100e6
INITIAL_WINDOW_PACKETS = 10  # RFC 6928


class History:
    """A ring of HISTORY rows per slot."""

    def __init__(self, slots: int) -> None:
        self.count: Ints = np.zeros(slots, np.int64)  # windows the flow has had
        self.objective: Floats = np.full(slots, BALANCED)
        self._rows: Floats = np.zeros(
            (slots * HISTORY, len(FIELDS))
        )  # of slot s from s * HISTORY on

    def forget(self, slots: Ints) -> None:
        """These slots have new flows."""
        self.count[slots] = 0
        self.objective[slots] = BALANCED

    def append(self, slots: Ints, rows: Floats) -> None:
        """One more window, rows: float64[n, F], for each of the slots, which are all different."""
        self._rows[slots * HISTORY + self.count[slots] % HISTORY] = rows
        self.count[slots] += 1

    def batch(self, slots: Ints, mss_bytes: Floats, windows: int = HISTORY) -> FlowBatch:
        """A copy of the newest `windows` rows of each slot, with the flow's estimates; mss_bytes 0
        where unknown.
        """
        count = self.count[slots]
        age = np.arange(windows)[::-1]
        valid = age < count[:, None]
        rows = self._rows.take(
            slots[:, None] * HISTORY + (count[:, None] - 1 - age) % HISTORY, axis=0
        )
        if not valid.all():
            rows[~valid] = 0.0
        return with_estimates(slots, rows, valid, mss_bytes, self.objective[slots])


def with_estimates(
    flow: Ints,
    windows: Floats,
    valid: NDArray[np.bool_],
    mss_bytes: Floats,
    objective: Floats | None = None,
) -> FlowBatch:
    """The batch of flows with these windows: their newest ones hold the flows' estimates.

    flow: int64[n]; windows: float64[n, w, F]; valid: bool[n, w]; mss_bytes: float64[n], 0 where
    unknown; objective: float64[n], None: balanced.
    """
    newest = windows[:, -1]
    mss = np.where(mss_bytes > 0, mss_bytes, DEFAULT_MSS_BYTES)
    min_rtt = newest[:, F["min_rtt_ns"]]
    min_rtt = np.where(min_rtt > 0, min_rtt, DEFAULT_MIN_RTT_NS)
    bandwidth = newest[:, F["bandwidth_bps"]]
    initial = INITIAL_WINDOW_PACKETS * mss * 8e9 / min_rtt
    bandwidth = np.where(bandwidth > 0, bandwidth, initial)
    wanted = np.full(len(flow), BALANCED) if objective is None else objective
    return FlowBatch(flow, windows, valid, bandwidth, min_rtt, mss, wanted)
