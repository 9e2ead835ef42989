"""Two groups of flows that share links: flow i of each group is on link i."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from policy.tasks.congestion.simulator.loop import STEP_NS, Controller, Feedback, Floats, Links
from policy.tasks.congestion.windows import Records

Ints = NDArray[np.int64]


def shared(links: Links) -> Links:
    """The same links, each with a flow of both groups."""
    every = np.arange(links.capacity_bps.shape[1])
    return replace(links, link_of=np.concatenate((every, every)))


class Beside:
    """The controllers of both groups as one, n flows each. The second group sends in [from_ms,
    to_ms), int64[n].
    """

    def __init__(self, first: Controller, second: Controller, from_ms: Ints, to_ms: Ints) -> None:
        self._first, self._second = first, second
        self._n = len(from_ms)
        self._from_ns, self._to_ns = from_ms * STEP_NS, to_ms * STEP_NS
        self._now_ns = 0
        self._join()

    def on_feedback(self, feedback: Feedback) -> None:
        """See Controller."""
        self._now_ns = feedback.at_ns
        self._first.on_feedback(_part(feedback, slice(0, self._n)))
        self._second.on_feedback(_part(feedback, slice(self._n, None)))
        self._join()

    def on_records(self, records: Records, now_ns: int) -> None:
        """See Controller."""
        later = records.slot >= self._n
        self._first.on_records(records.only(np.flatnonzero(~later)), now_ns)
        rest = records.only(np.flatnonzero(later))
        self._second.on_records(replace(rest, slot=rest.slot - self._n), now_ns)
        self._join()

    def _join(self) -> None:
        sends = (self._from_ns <= self._now_ns) & (self._now_ns < self._to_ns)
        first, second = self._first, self._second
        self.pacing_rate_bps: Floats = np.concatenate(
            (first.pacing_rate_bps, second.pacing_rate_bps)
        )
        self.cwnd_packets: Floats = np.concatenate(
            (first.cwnd_packets, np.where(sends, second.cwnd_packets, 0.0))
        )


def _part(feedback: Feedback, which: slice) -> Feedback:
    return Feedback(
        feedback.at_ns,
        feedback.delivered_bytes[which],
        feedback.lost_bytes[which],
        feedback.rtt_ns[which],
        feedback.inflight_bytes[which],
        feedback.queue_bytes[which],
    )
