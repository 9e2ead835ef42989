"""Beside a flow that fills the bottleneck's queue: who is, and what to ask for then. Pure, vectorised over flows.

A controller that keeps the queue short starves beside one that fills it, because every cut makes room for the other.
Copa (Arun, Balakrishnan, NSDI 2018) therefore competes while its queue does not empty. Here the evidence is a balance:
alone on a link, a flow that sends at `s` while `d` is delivered shortens the queueing delay by (1 - s/d) per unit of
time. What it should have fallen by and did not is summed up, never below zero, and forgotten when the queue is seen
empty. Above a bound somebody else must be filling it.

While it competes, a flow has at least the cwnd of an AIMD flow (RFC 5681, with CUBIC's decrease to 0.7, RFC 9438),
which begins at what it had in flight when the evidence began. From time to time it yields, to see whether the other
has left: then its own controller empties the queue.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from policy.tiers import Actions, FlowBatch
from policy.windows import F

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MIN_CWND_PACKETS = 4.0
FADING = 0.9  # per window, of what was in flight before the evidence began
PACING_GAIN = 1.2  # over cwnd / srtt, as tcp_update_pacing_rate after slow start


class CompetitionConfig(BaseModel):
    """When to compete, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    """Off by default: capacity that falls still looks like another flow too often (docs/policy-server.md)."""
    evidence_ms: float = Field(default=150.0, gt=0)
    """Queueing delay that should have gone and did not, beyond …"""
    evidence_queue: float = Field(default=0.25, ge=0)
    """… this share of the queueing delay that stands."""
    empty_ms: float = Field(default=5.0, gt=0)
    """A queue is empty below this or …"""
    empty_rtt: float = Field(default=0.1, ge=0)
    """… this share of the minimum RTT, whichever is more."""
    compete_windows: int = Field(default=80, ge=1)
    """Windows after which it yields once, until the evidence is there again."""
    decrease: float = Field(default=0.7, gt=0, lt=1)
    """Of cwnd, on loss."""


class Competition:
    """State per flow: evidence, the queueing delay before, AIMD's cwnd, and for how long it has competed."""

    def __init__(self, flows: int, config: CompetitionConfig) -> None:
        self._config = config
        self._evidence_ns: Floats = np.zeros(flows)
        self._queue_ns: Floats = np.zeros(flows)
        self._cwnd: Floats = np.zeros(flows)  # packets; 0: not yet
        self._left: Ints = np.zeros(flows, np.int64)  # windows; 0: does not compete
        self._since_cut_ns: Floats = np.zeros(flows)

    def forget(self, flows: Sequence[int] | Ints) -> None:
        """These flow numbers have ended."""
        for state in (self._evidence_ns, self._queue_ns, self._cwnd, self._left, self._since_cut_ns):
            state[flows] = 0

    def competing(self, flows: Ints) -> NDArray[np.bool_]:
        """Which flows compete now; bool[n]."""
        return self._left[flows] > 0

    def observe(self, batch: FlowBatch) -> None:
        """One more window of each flow."""
        if not self._config.enabled:
            return
        c, f, w = self._config, batch.flow, batch.windows[:, -1].T
        heard = w[F["acks"]] > 0
        queue, duration = w[F["queueing_delay_ns"]], w[F["duration_ns"]]
        least = w[F["rtt_min_ns"]] - batch.min_rtt_ns
        empty = heard & (least < np.maximum(c.empty_ms * 1e6, c.empty_rtt * batch.min_rtt_ns))
        sent, delivered = w[F["send_rate_bps"]], w[F["delivery_rate_bps"]]
        share = np.divide(sent, delivered, out=np.ones(len(f)), where=delivered > 0)
        missing = (1 - np.clip(share, 0, 2)) * duration + queue - self._queue_ns[f]
        known = heard & (self._queue_ns[f] > 0)
        evidence = self._evidence_ns[f] + np.where(known, missing, 0.0)
        evidence = np.where(empty, 0.0, np.maximum(evidence, 0.0))
        self._queue_ns[f] = np.where(heard, queue, self._queue_ns[f])

        left = self._left[f]
        inflight = w[F["inflight_bytes"]] / batch.mss_bytes
        fresh = (left == 0) & (evidence == 0)
        recent = np.maximum(inflight, FADING * self._cwnd[f])
        cwnd = np.where(fresh, np.maximum(recent, MIN_CWND_PACKETS), self._cwnd[f])
        begins = (left == 0) & (evidence > c.evidence_ms * 1e6 + c.evidence_queue * queue)
        left = np.where(begins, c.compete_windows, np.where(empty, 0, np.maximum(left - 1, 0)))
        evidence = np.where(left > 0, 0.0, evidence)

        srtt = np.maximum(w[F["srtt_ns"]], batch.min_rtt_ns)
        since = self._since_cut_ns[f] + duration
        cut = (left > 0) & (w[F["lost_bytes"]] > 0) & (since > srtt)
        grown = cwnd + np.where((left > 0) & heard, duration / srtt, 0.0)
        self._cwnd[f] = np.where(cut, np.maximum(c.decrease * cwnd, MIN_CWND_PACKETS), grown)
        self._since_cut_ns[f] = np.where(cut, 0.0, since)
        self._evidence_ns[f], self._left[f] = evidence, left

    def applied(self, batch: FlowBatch, actions: Actions) -> Actions:
        """The actions, but of flows that compete not below what AIMD would ask for."""
        competing = self.competing(batch.flow)
        if not competing.any():
            return actions
        srtt = np.maximum(batch.windows[:, -1, F["srtt_ns"]], batch.min_rtt_ns)
        cwnd = np.where(competing, self._cwnd[batch.flow], 0.0)
        rate = PACING_GAIN * cwnd * batch.mss_bytes * 8e9 / srtt
        return Actions(np.maximum(actions.pacing_rate_bps, rate), np.maximum(actions.cwnd_packets, cwnd))
