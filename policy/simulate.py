"""A small closed loop for tuning and testing tiers: fluid queues of varying capacity, one flow each, in steps of 1 ms.

Each flow has a link of its own: byte-limited droptail queue, capacity per step, fixed propagation RTT. The sender
obeys a pacing rate and a cwnd; lost data is sent again as new. What a real datapath would report per ACK goes through
the same folding into windows as in the server. Packet-level effects (reordering, delayed ACKs) are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policy.history import History
from policy.tiers import Tier
from policy.windows import Records, WindowFolder

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
STEP_NS = 1_000_000
MSS_BYTES = 1448.0


@dataclass(frozen=True)
class Links:
    """n links over k steps. capacity_bps: float64[k, n]; rtt_ms: int64[n]; buffer_bytes: float64[n];
    app_rate_bps: float64[k, n], what the application produces, inf: as much as can be sent."""

    capacity_bps: Floats
    rtt_ms: Ints
    buffer_bytes: Floats
    app_rate_bps: Floats | None = None


@dataclass(frozen=True)
class Feedback:
    """ACKs of one step: float64[n] bytes newly delivered and newly known lost, RTT (0: no ACK) and smoothed RTT."""

    at_ns: int
    delivered_bytes: Floats
    lost_bytes: Floats
    rtt_ns: Floats
    inflight_bytes: Floats


class Controller(Protocol):
    """Sets pacing_rate_bps and cwnd_packets, float64[n], as the feedback comes."""

    pacing_rate_bps: Floats
    cwnd_packets: Floats

    def on_feedback(self, feedback: Feedback) -> None:
        """Called every step."""

    def on_records(self, records: Records, now_ns: int) -> None:
        """Called every step with the ACK records of it."""


@dataclass(frozen=True)
class Outcome:
    """Per link, float64[n]: throughput, share of the capacity used, queueing delay over delivered bytes; and the
    courses over the steps, float64[k, n]: delivered bytes, queueing delay in ms of what left, pacing rate."""

    throughput_bps: Floats
    utilisation: Floats
    queueing_p50_ms: Floats
    queueing_p95_ms: Floats
    loss_rate: Floats
    delivered_bytes: Floats
    queueing_ms: Floats
    pacing_rate_bps: Floats


def simulate(links: Links, controller: Controller, skip_ms: int = 0) -> Outcome:
    """Run all links. skip_ms: leave the start out of the summary figures."""
    steps, n = links.capacity_bps.shape
    everyone = np.arange(n)
    opportunity = links.capacity_bps * (STEP_NS / 8e9)
    accepted, dropped, departed, lost_known = (np.zeros((steps + 1, n)) for _ in range(4))
    wait_ms, limited, rates = (
        np.zeros((steps + 1, n)),
        np.zeros((steps + 1, n), bool),
        np.zeros((steps + 1, n)),
    )
    acked_at = np.zeros((steps + 1, n))
    sent, credit, app_backlog, srtt = (np.zeros(n) for _ in range(4))
    min_rtt = np.full(n, np.inf)
    head = np.zeros(n, np.int64)  # step in which what leaves the queue now came in
    for k in range(1, steps + 1):
        back = np.maximum(k - links.rtt_ms, 0)
        acked = np.floor(departed[back, everyone] / MSS_BYTES) * MSS_BYTES
        acked_at[k] = acked
        lost = lost_known[back, everyone]
        new = acked - acked_at[k - 1]
        newly_lost = lost - lost_known[np.maximum(k - 1 - links.rtt_ms, 0), everyone]
        rtt = np.where(new > 0, (links.rtt_ms + wait_ms[back, everyone]) * STEP_NS, 0.0)
        min_rtt = np.where(rtt > 0, np.minimum(min_rtt, rtt), min_rtt)
        srtt = np.where(rtt > 0, np.where(srtt > 0, srtt + (rtt - srtt) / 8, rtt), srtt)
        inflight = sent - acked - lost
        now_ns = k * STEP_NS
        controller.on_feedback(Feedback(now_ns, new, newly_lost, rtt, inflight))
        heard = np.flatnonzero(new > 0)
        if len(heard):
            sent_step = (back - wait_ms[back, everyone].astype(np.int64))[heard]
            interval_ns = np.maximum(k - sent_step, 1) * STEP_NS
            rate = (acked[heard] - acked_at[np.maximum(sent_step, 0), heard]) * 8e9 / interval_ns
            counters = np.stack((acked, acked, lost, sent, acked / MSS_BYTES, np.zeros(n)), axis=1)[
                heard
            ].astype(np.int64)
            levels = np.stack(
                (
                    srtt,
                    min_rtt,
                    np.full(n, MSS_BYTES),
                    controller.cwnd_packets,
                    inflight / MSS_BYTES,
                    controller.pacing_rate_bps,
                ),
                axis=1,
            )[heard]
            at_ns = np.full(len(heard), now_ns)
            flags = limited[np.maximum(sent_step, 0), heard]
            records = Records(heard, at_ns, counters, levels, rtt[heard], rate, flags)
        else:
            records = _NOTHING
        controller.on_records(records, now_ns)

        pace = controller.pacing_rate_bps * (STEP_NS / 8e9)
        credit = np.minimum(credit + pace, np.maximum(2 * pace, 2 * MSS_BYTES))
        room = np.maximum(controller.cwnd_packets * MSS_BYTES - inflight, 0.0)
        send = np.minimum(credit, room)
        if links.app_rate_bps is not None:
            app_backlog += links.app_rate_bps[k - 1] * (STEP_NS / 8e9)
            limited[k] = app_backlog - np.floor(send / MSS_BYTES) * MSS_BYTES < MSS_BYTES
            send = np.minimum(send, app_backlog)
        send = np.floor(send / MSS_BYTES) * MSS_BYTES
        credit -= send
        app_backlog -= np.where(np.isfinite(app_backlog), send, 0.0)
        sent += send
        space = links.buffer_bytes - (accepted[k - 1] - departed[k - 1])
        enter = np.minimum(send, np.maximum(space, 0.0))
        accepted[k], dropped[k] = accepted[k - 1] + enter, dropped[k - 1] + send - enter
        departed[k] = np.minimum(accepted[k], departed[k - 1] + opportunity[k - 1])
        idle = departed[k] >= accepted[k]
        while True:  # oldest step with data still in the queue
            behind = ~idle & (accepted[head, everyone] <= departed[k])
            if not behind.any():
                break
            head[behind] += 1
        head[idle] = k
        wait_ms[k] = k - head
        lost_known[k] = dropped[np.maximum(head - 1, 0), everyone] if not idle.all() else dropped[k]
        lost_known[k] = np.where(idle, dropped[k], lost_known[k])
        rates[k] = controller.pacing_rate_bps
    out = np.diff(departed, axis=0)[skip_ms:]
    waits = wait_ms[1 + skip_ms :]
    seconds = out.shape[0] * STEP_NS / 1e9
    total = out.sum(axis=0)
    p50, p95 = (_weighted_percentile(waits, out, q) for q in (0.5, 0.95))
    return Outcome(
        total * 8 / seconds,
        total / opportunity[skip_ms:].sum(axis=0),
        p50,
        p95,
        dropped[-1] / np.maximum(sent, 1),
        out,
        waits,
        rates[1 + skip_ms :],
    )


def _weighted_percentile(values: Floats, weights: Floats, q: float) -> Floats:
    result = np.zeros(values.shape[1])
    for link in range(values.shape[1]):
        order = np.argsort(values[:, link])
        cumulative = np.cumsum(weights[order, link])
        result[link] = values[order[np.searchsorted(cumulative, q * cumulative[-1])], link]
    return result


_NOTHING = Records(
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 6), np.int64), np.empty((0, 6)),
    np.empty(0), np.empty(0), np.empty(0, bool),
)  # fmt: skip


class TierController:
    """A tier in the loop: windows close every `window_ms`; before the first decision the sender is in slow start."""

    def __init__(self, tier: Tier, n: int, window_ms: int = 100) -> None:
        self.pacing_rate_bps: Floats = np.full(n, 1e9)
        self.cwnd_packets: Floats = np.full(n, 10.0)
        self._tier, self._window_ns = tier, window_ms * STEP_NS
        self._folder, self._history = WindowFolder(n), History(n)
        self._all = np.arange(n)
        self._folder.open(self._all, np.zeros(n, np.int64))
        self._slow_start = np.ones(n, bool)

    def on_feedback(self, feedback: Feedback) -> None:
        """Slow start until the first decision."""
        self.cwnd_packets = self.cwnd_packets + self._slow_start * feedback.delivered_bytes / MSS_BYTES

    def on_records(self, records: Records, now_ns: int) -> None:
        """Fold; decide when the window closes."""
        closing = self._all if now_ns % self._window_ns == 0 else self._all[:0]
        rows, _, _ = self._folder.fold(records, closing, np.full(len(closing), now_ns))
        if not len(closing):
            return
        self._history.append(closing, rows)
        batch = self._history.batch(closing, self._folder.levels[closing, 2])
        actions = self._tier.decide(batch, now_ns)
        self.pacing_rate_bps, self.cwnd_packets = actions.pacing_rate_bps, np.floor(actions.cwnd_packets)
        self._slow_start[:] = False


class Cubic:
    """CUBIC (RFC 9438) for comparison: C = 0.4, beta = 0.7, fast convergence, no HyStart; paced at 1.2 cwnd / RTT."""

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
        self._ssthresh = np.where(loss, np.maximum(0.7 * w, 2), self._ssthresh)
        self._epoch_ns = np.where(loss, now, self._epoch_ns)
        self._quiet_until_ns = np.where(loss, now + self._rtt_ns, self._quiet_until_ns)
        acked = feedback.delivered_bytes / MSS_BYTES
        limited = feedback.inflight_bytes + 3 * MSS_BYTES < w * MSS_BYTES  # not cwnd-limited: no growth
        start = np.cbrt(self._w_max * 0.3 / 0.4)
        t = (now - self._epoch_ns) / 1e9
        target = np.clip(0.4 * (t - start) ** 3 + self._w_max, w, 1.5 * w)
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
