"""BBR's state machine, once per window: start-up, drain, probe bandwidth (Cardwell et al., ACM
Queue 2016; draft-cardwell-iccrg-bbr-congestion-control-00). Without PROBE_RTT: the minimum RTT is
the kernel's windowed minimum.

Rounds are windows, or round trips where these are longer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch, PolicyContext
from policy.tasks.congestion.cwnd import MIN_CWND_PACKETS
from policy.tasks.congestion.fields import F

Floats = NDArray[np.float64]
STARTUP_GAIN = 2 / np.log(2)
CYCLE = np.array([1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
CWND_GAIN = 2.0
FULL_GROWTH = 1.25  # the pipe is full when the estimate grew by less, …
FULL_ROUNDS = 3  # … so many rounds in a row
_STARTUP, _DRAIN, _PROBE = 0, 1, 2


class BbrLite:
    """See the module. State per flow: phase, full-pipe detection, position in the gain cycle."""

    name = "bbr-lite"
    history = 1

    def __init__(self, context: PolicyContext) -> None:
        self._phase = np.zeros(context.flows, np.int8)
        self._full_bps: Floats = np.zeros(context.flows)
        self._full_rounds = np.zeros(context.flows, np.int64)
        self._round_ns: Floats = np.zeros(context.flows)  # elapsed of the round
        self._cycle = np.zeros(context.flows, np.int64)

    def forget(self, flows: Sequence[int]) -> None:
        """See Policy."""
        f = np.asarray(flows, np.int64)
        for state in (self._phase, self._full_bps, self._full_rounds, self._round_ns, self._cycle):
            state[f] = 0

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        f = batch.flow
        w = batch.windows[:, -1].T
        bandwidth, bdp_bytes = batch.bandwidth_bps, batch.bandwidth_bps * batch.min_rtt_ns / 8e9
        # A window's end meets a round's end only nearly: count it from 90 % on.
        elapsed = self._round_ns[f] + w[F["duration_ns"]]
        round_over = elapsed >= 0.9 * np.maximum(batch.min_rtt_ns, w[F["srtt_ns"]])
        self._round_ns[f] = np.where(round_over, 0, elapsed)
        phase = self._phase[f]

        judged = round_over & (w[F["app_limited_share"]] < 0.5) & (phase == _STARTUP)
        grew = bandwidth >= FULL_GROWTH * self._full_bps[f]
        rounds = np.where(judged, np.where(grew, 0, self._full_rounds[f] + 1), self._full_rounds[f])
        self._full_bps[f] = np.where(judged & grew, bandwidth, self._full_bps[f])
        self._full_rounds[f] = rounds
        phase = np.where((phase == _STARTUP) & (rounds >= FULL_ROUNDS), _DRAIN, phase)
        drained = w[F["inflight_bytes"]] <= bdp_bytes + 2 * batch.mss_bytes
        phase = np.where((phase == _DRAIN) & drained, _PROBE, phase)
        self._phase[f] = phase

        probing = phase == _PROBE
        cycle = np.where(probing & round_over, self._cycle[f] + 1, self._cycle[f]) % len(CYCLE)
        # After probing, drain for as long as the queue it made needs.
        cycle = np.where((self._cycle[f] == 1) & (cycle == 2) & ~drained, 1, cycle)
        self._cycle[f] = cycle
        gain = np.where(
            probing, CYCLE[cycle], np.where(phase == _DRAIN, 1 / STARTUP_GAIN, STARTUP_GAIN)
        )
        cwnd_gain = np.where(phase == _PROBE, CWND_GAIN, STARTUP_GAIN)
        cwnd = cwnd_gain * bdp_bytes / batch.mss_bytes + 3  # room for delayed ACKs
        return Actions(gain * bandwidth, np.maximum(cwnd, MIN_CWND_PACKETS))
