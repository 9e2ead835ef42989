"""What the kernel brings, simplified, as references: CUBIC and BBR."""

from __future__ import annotations

import numpy as np

from policy.tasks.congestion.cubic import BETA, cubic_window
from policy.tasks.congestion.simulator.loop import MSS_BYTES, Feedback, Floats
from policy.tasks.congestion.windows import Records


class Cubic:
    """CUBIC (RFC 9438) for comparison: C = 0.4, beta = 0.7, fast convergence, no HyStart; paced at
    1.2 cwnd / RTT.
    """

    def __init__(self, n: int) -> None:
        self.cwnd_packets: Floats = np.full(n, 10.0)
        self.pacing_rate_bps: Floats = np.full(n, 1e9)
        self._ssthresh = np.full(n, np.inf)
        self._w_max = np.zeros(n)
        self._epoch_ns = np.zeros(n)
        self._quiet_until_ns = np.zeros(n)
        self._rtt_ns = np.full(n, 100e6)

    def on_feedback(self, feedback: Feedback) -> None:
        """Grow with ACKs; shrink once per RTT with loss."""
        now = feedback.at_ns
        self._rtt_ns = np.where(feedback.rtt_ns > 0, feedback.rtt_ns, self._rtt_ns)
        loss = (feedback.lost_bytes > 0) & (now >= self._quiet_until_ns)
        w = self.cwnd_packets
        self._w_max = np.where(loss, np.where(w < self._w_max, w * 0.85, w), self._w_max)
        self._ssthresh = np.where(loss, np.maximum(BETA * w, 2), self._ssthresh)
        self._epoch_ns = np.where(loss, now, self._epoch_ns)
        self._quiet_until_ns = np.where(loss, now + self._rtt_ns, self._quiet_until_ns)
        acked = feedback.delivered_bytes / MSS_BYTES
        limited = (
            feedback.inflight_bytes + 3 * MSS_BYTES < w * MSS_BYTES
        )  # not cwnd-limited: no growth
        target = np.clip(cubic_window(self._w_max, (now - self._epoch_ns) / 1e9), w, 1.5 * w)
        grown = np.where(w < self._ssthresh, w + acked, w + (target - w) / w * acked)
        self.cwnd_packets = np.where(loss, self._ssthresh, np.where(limited, w, grown))
        self.pacing_rate_bps = (
            np.where(self.cwnd_packets < self._ssthresh, 2.0, 1.2)
            * self.cwnd_packets
            * MSS_BYTES
            * 8e9
            / self._rtt_ns
        )

    def on_records(self, records: Records, now_ns: int) -> None:
        """Not needed."""


class Bbr:
    """BBR version 1 (tcp_bbr.c; draft-cardwell-iccrg-bbr-congestion-control-00): start-up, drain,
    gains, PROBE_RTT.

    Left out: long-term (policer) sampling, packet conservation in recovery, extra cwnd for
    aggregated ACKs.
    """

    _HIGH = 2.885
    _CYCLE = np.array([1.25, 0.75, 1, 1, 1, 1, 1, 1])
    _STARTUP, _DRAIN, _PROBE_BW, _PROBE_RTT = range(4)

    def __init__(self, n: int) -> None:
        self.cwnd_packets: Floats = np.full(n, 10.0)
        self.pacing_rate_bps: Floats = np.full(n, 1e9)
        self._state = np.full(n, self._STARTUP)
        self._bandwidth = np.zeros((10, n))  # maximum per round, ring
        self._round = np.zeros(n, np.int64)
        self._round_end = np.zeros(n)  # delivered bytes that end the round
        self._delivered, self._inflight = np.zeros(n), np.zeros(n)
        self._full, self._stale = np.zeros(n), np.zeros(n, np.int64)
        self._min_rtt_ns, self._min_rtt_at = np.full(n, np.inf), np.zeros(n)
        self._phase, self._phase_at = np.zeros(n, np.int64), np.zeros(n)
        self._probe_end = np.zeros(n)

    def on_feedback(self, feedback: Feedback) -> None:
        """Minimum RTT and what is in flight."""
        now = feedback.at_ns
        self._delivered = self._delivered + feedback.delivered_bytes
        self._inflight = feedback.inflight_bytes
        expired = (now - self._min_rtt_at > 10e9) & (self._state != self._PROBE_RTT)
        heard = feedback.rtt_ns > 0
        newer = heard & ((feedback.rtt_ns <= self._min_rtt_ns) | expired)
        self._min_rtt_ns = np.where(newer, feedback.rtt_ns, self._min_rtt_ns)
        self._min_rtt_at = np.where(newer, now, self._min_rtt_at)
        enter = heard & expired & (self._full > 0)
        self._state[enter] = self._PROBE_RTT
        self._probe_end[enter] = now + 200e6 + np.minimum(self._min_rtt_ns, 1e9)[enter]
        leave = (self._state == self._PROBE_RTT) & (now >= self._probe_end)
        self._state[leave] = np.where(self._stale[leave] >= 3, self._PROBE_BW, self._STARTUP)
        self._min_rtt_at[leave] = now

    def on_records(self, records: Records, now_ns: int) -> None:
        """The model, the state machine, and rate and cwnd from them."""
        s = records.slot
        if not len(s):
            return
        ended = self._delivered[s] >= self._round_end[s]
        place = self._round % 10
        usable = ~records.app_limited | (records.rate_bps >= self._bandwidth.max(axis=0)[s])
        rate = np.where(usable, records.rate_bps, 0.0)
        self._bandwidth[place[s], s] = np.maximum(self._bandwidth[place[s], s], rate)
        best = self._bandwidth.max(axis=0)
        over = s[ended]
        grown = best[over] >= 1.25 * self._full[over]
        limited = records.app_limited[ended]
        starting = (self._state[over] == self._STARTUP) & ~limited
        self._stale[over] += starting & ~grown
        self._full[over] = np.where(starting & grown, best[over], self._full[over])
        self._stale[over[starting & grown]] = 0
        self._round[over] += 1
        self._bandwidth[self._round[over] % 10, over] = 0
        self._round_end[over] = self._delivered[over] + self._inflight[over]
        bdp = best * np.where(np.isfinite(self._min_rtt_ns), self._min_rtt_ns, 0.0) / 8e9
        full = (self._state == self._STARTUP) & (self._stale >= 3)
        self._state[full] = self._DRAIN
        drained = (self._state == self._DRAIN) & (self._inflight <= bdp)
        self._state[drained] = self._PROBE_BW
        self._phase[drained], self._phase_at[drained] = 2, now_ns
        passed = now_ns - self._phase_at > self._min_rtt_ns
        gain = self._CYCLE[self._phase]
        turn = (self._state == self._PROBE_BW) & np.where(
            gain > 1,
            passed & (self._inflight >= 1.25 * bdp),
            np.where(gain < 1, passed | (self._inflight <= bdp), passed),
        )
        turn |= (
            (self._state == self._PROBE_BW)
            & (gain > 1)
            & (now_ns - self._phase_at > 4 * self._min_rtt_ns)
        )
        self._phase = np.where(turn, (self._phase + 1) % 8, self._phase)
        self._phase_at = np.where(turn, now_ns, self._phase_at)
        state = self._state
        pacing = np.choose(state, [self._HIGH, 1 / self._HIGH, self._CYCLE[self._phase], 1.0])
        gain = np.choose(state, [self._HIGH, self._HIGH, 2.0, 0.0])
        known = best > 0
        self.pacing_rate_bps = np.where(known, pacing * best, self.pacing_rate_bps)
        wanted = np.where(
            state == self._PROBE_RTT, 4.0, np.maximum(gain * bdp / MSS_BYTES + 3, 4.0)
        )
        self.cwnd_packets = np.where(known, wanted, self.cwnd_packets)
