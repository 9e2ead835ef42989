"""Google congestion control on windows of TCP sender state.

Carlucci, De Cicco, Holmer, Mascolo: "Analysis and Design of the Google Congestion Control for Web Real-time
Communication (WebRTC)", MMSys 2016, and "Congestion Control for Web Real-Time Communication", IEEE/ACM ToN 2017;
draft-ietf-rmcat-gcc-02.

What is kept: the over-use detector compares a delay gradient with an adaptive threshold; a state machine increases,
holds or decreases the rate; heavy loss decreases it as well; the rate does not grow beyond 1.5 times what is delivered.

What is adapted, and why:
- GCC measures one-way delay per group of packets; a TCP sender sees the RTT of each ACK. The trendline is the
  least-squares slope of the window's RTT samples, averaged with the slope from the last window's mean to this one's.
- GCC does not see a queue that stands still. A sender knows its minimum RTT, so a standing queue counts as over-use
  too, and a queue that is empty permits a faster increase.
- GCC ramps up by 8 % a second, made for video encoders. Here, as in BBR's start-up, the rate doubles per round trip
  until the first over-use or loss; after it the increase is per response time (RTT), larger while no queue is seen.
- Rate alone does not bound a queue when capacity falls within a window; cwnd is one BDP plus the queue that is allowed.
- A window without ACKs, data being in flight, is an outage: the state is frozen. A flow that its application limits
  never lowers its rate because it delivered little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.tiers import Actions, FlowBatch, TierContext
from policy.windows import F

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GccParameters:
    """Constants; those with a § are the draft's."""

    trend_gain: float = (
        240.0  # ms; slope to threshold scale: 60 groups times gain 4, as WebRTC's trendline estimator
    )
    threshold_ms: float = 12.5  # § 5.4, initial
    threshold_min_ms: float = 6.0  # § 5.4
    threshold_max_ms: float = 600.0
    threshold_up: float = 0.01  # § 5.4: K_u, K_d, per ms
    threshold_down: float = 0.00018
    threshold_skip_ms: float = 15.0  # § 5.4: outliers beyond the threshold by more do not move it
    decrease: float = 0.85  # § 5.5: beta
    headroom: float = 1.5  # § 5.5: rate over delivered rate
    loss_high: float = 0.10  # § 6
    loss_low: float = 0.02
    increase: float = 1.08  # § 5.5 says per second; here per RTT
    probe: float = 1.25  # per RTT, while the queue is empty
    startup: float = 2.0
    empty_queue_ns: float = 5e6  # and empty_queue_rtt of the minimum RTT, whichever is more
    empty_queue_rtt: float = 0.1
    standing_queue_ns: float = 20e6
    standing_queue_rtt: float = 0.3
    min_cwnd_packets: float = 4.0
    min_rate_bps: float = 100e3


class Gcc:
    """See the module. State per flow: rate, threshold, previous mean RTT, start-up."""

    name = "gcc"
    history = 1

    def __init__(self, context: TierContext, parameters: GccParameters | None = None) -> None:
        self._p = parameters or GccParameters()
        self._rate: Floats = np.zeros(context.flows)  # 0: no decision yet
        self._threshold: Floats = np.full(context.flows, self._p.threshold_ms)
        self._rtt: Floats = np.zeros(context.flows)
        self._startup = np.ones(context.flows, bool)
        self._decreased_ns = np.zeros(context.flows, np.int64)
        self._trend: Floats = np.zeros(context.flows)

    def forget(self, flows: Sequence[int]) -> None:
        """See Tier."""
        f = np.asarray(flows, np.int64)
        self._rate[f] = self._rtt[f] = self._trend[f] = 0
        self._threshold[f] = self._p.threshold_ms
        self._startup[f] = True
        self._decreased_ns[f] = 0

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Tier."""
        p, f = self._p, batch.flow
        w = batch.windows[:, -1].T
        queue, rtt, duration = w[F["queueing_delay_ns"]], w[F["rtt_mean_ns"]], w[F["duration_ns"]]
        delivered, acks = w[F["delivery_rate_bps"]], w[F["acks"]]
        app_limited = w[F["app_limited_share"]] >= 0.5
        outage = (acks == 0) & (w[F["inflight_bytes"]] > 0)
        rounds = np.clip(duration / np.maximum(rtt, 1e6), 0.0, 3.0)  # response times in this window

        # Over-use detector.
        between = np.where(self._rtt[f] > 0, (rtt - self._rtt[f]) / duration, 0.0)
        slope = 0.5 * (w[F["rtt_gradient"]] + between)
        trend = np.where(acks > 0, slope * p.trend_gain, 0.0)
        self._rtt[f] = np.where(acks > 0, rtt, self._rtt[f])
        threshold = self._adapted(f, trend, duration / 1e6)
        empty = queue < np.maximum(p.empty_queue_ns, p.empty_queue_rtt * batch.min_rtt_ns)
        standing = queue > np.maximum(p.standing_queue_ns, p.standing_queue_rtt * batch.min_rtt_ns)
        over = ~empty & ((trend > threshold) | (standing & (trend > -threshold)))
        under = ~empty & (trend < -threshold)
        lossy = w[F["loss_rate"]] > p.loss_high

        # Rate controller.
        first = self._rate[f] == 0
        rate = np.where(first, batch.bandwidth_bps, self._rate[f])
        startup = self._startup[f] & ~over & (w[F["loss_rate"]] <= p.loss_low)
        startup &= ~(standing & ~outage)
        factor = np.where(empty, p.probe, p.increase) ** rounds
        ceiling = np.maximum(p.headroom * np.maximum(delivered, batch.bandwidth_bps), rate)
        grown = np.minimum(rate * factor, ceiling)
        grown = np.where(startup, np.maximum(p.startup * batch.bandwidth_bps, rate), grown)
        share = np.where(app_limited, np.maximum(delivered, p.decrease * rate), delivered)
        cut = np.minimum(p.decrease * share, rate)
        fell = np.where(lossy, np.minimum(rate * (1 - 0.5 * w[F["loss_rate"]]), rate), rate)
        new = np.where(over, np.minimum(cut, fell), np.where(lossy, fell, np.where(under, rate, grown)))
        new = np.where(outage, rate, np.maximum(new, p.min_rate_bps))
        self._rate[f] = new
        self._startup[f] = startup
        allowed = batch.min_rtt_ns + np.maximum(p.standing_queue_ns, p.standing_queue_rtt * batch.min_rtt_ns)
        cwnd = new * allowed / 8e9 / batch.mss_bytes
        return Actions(new, np.maximum(cwnd, p.min_cwnd_packets))

    def _adapted(self, f: NDArray[np.int64], trend: Floats, elapsed_ms: Floats) -> Floats:
        """The thresholds that hold for this window; afterwards they follow the trend, fast up and slowly down."""
        p, threshold = self._p, self._threshold[f]
        excess = np.abs(trend) - threshold
        gain = np.where(excess > 0, p.threshold_up, p.threshold_down)
        moved = threshold + gain * np.minimum(elapsed_ms, 100.0) * excess
        moved = np.clip(moved, p.threshold_min_ms, p.threshold_max_ms)
        self._threshold[f] = np.where(excess > p.threshold_skip_ms, threshold, moved)
        return threshold
