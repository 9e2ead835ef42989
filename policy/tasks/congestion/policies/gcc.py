"""Google congestion control on windows of TCP sender state.

Carlucci, De Cicco, Holmer, Mascolo: "Analysis and Design of the Google Congestion Control for Web
Real-time Communication (WebRTC)", MMSys 2016, and "Congestion Control for Web Real-Time
Communication", IEEE/ACM ToN 2017; draft-ietf-rmcat-gcc-02.

What is kept: the over-use detector compares a delay gradient with an adaptive threshold; a state
machine increases, holds or decreases the rate; heavy loss decreases it as well; the rate is bounded
by what has been delivered.

What is adapted, and why:
- GCC measures one-way delay per group of packets; a TCP sender sees the RTT of each ACK. The
  trendline is the least-squares slope of the window's RTT samples, averaged with the slope from the
  last window's mean to this one's.
- GCC does not see a queue that stands still. A sender knows its minimum RTT: a standing queue
  counts as over-use too.
- GCC cuts to 0.85 of the delivered rate, whatever the queue. Here the cut is as deep as emptying
  the queue within `drain_ns` needs: small ones cost little throughput, deep ones go quickly.
- GCC grows by 8 % a second, made for video encoders. Here, as in BBR's start-up, the rate doubles
  per round trip until the first over-use or loss; after it the growth is per response time (RTT +
  100 ms, as in GCC's additive increase), larger while the queue is empty. An empty queue also lets
  the rate return most of the way to the bandwidth estimate, which remembers a second: cellular
  capacity often comes back as fast as it went.
- Rate alone does not bound a queue when capacity falls within a window; cwnd is one BDP plus the
  queue that is allowed.
- A window without ACKs, data being in flight, is an outage: the state is frozen. A flow that its
  application limits never lowers its rate because it delivered little.
- Another tier may have decided in between (APC): where the rate in force is not the one asked for,
  it goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch, PolicyContext
from policy.tasks.congestion.cwnd import cwnd_packets
from policy.tasks.congestion.fields import F

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GccParameters:
    """Constants; those with a § are the draft's, the others were chosen in
    `policy.tasks.congestion.simulator` on the bundled traces.
    """

    # ms; slope to threshold scale: 60 groups times gain 4, as WebRTC's trendline estimator
    trend_gain: float = 240.0
    threshold_ms: float = 12.5  # § 5.4, initial
    threshold_min_ms: float = 6.0  # § 5.4
    threshold_max_ms: float = 600.0  # § 5.4
    threshold_up: float = 0.01  # § 5.4: K_u and K_d, per ms
    threshold_down: float = 0.00018
    threshold_skip_ms: float = 15.0  # § 5.4: outliers beyond the threshold by more do not move it
    loss_high: float = 0.10  # § 6: above, the rate is cut by half the loss
    loss_low: float = 0.02  # § 6: above, start-up ends
    headroom: float = 1.25  # rate over bandwidth estimate (§ 5.5: 1.5 times the delivered rate)
    increase: float = 1.05  # per response time
    probe: float = 1.25  # the same while the queue is empty
    recall: float = 0.9  # share of the way back to the bandwidth estimate, while the queue is empty
    response_ns: float = 100e6  # § 5.5: response time = RTT + 100 ms
    startup: float = 2.0
    drain_ns: float = 500e6
    least_share: float = 0.5  # of the delivered rate, that a cut leaves …
    most_share: float = 0.95  # … at least and at most
    empty_queue_ns: float = 4e6  # a queue is empty below this or …
    empty_queue_rtt: float = (
        0.2  # … this share of the minimum RTT, whichever is more; the same for the others
    )
    standing_queue_ns: float = 10e6
    standing_queue_rtt: float = 0.4
    allowed_queue_ns: float = 8e6  # in cwnd
    allowed_queue_rtt: float = 0.25
    foreign: float = 0.1  # the rate in force is another's if it differs by more
    min_rate_bps: float = 100e3


class Gcc:
    """See the module. State per flow: rate, threshold, previous mean RTT, start-up."""

    name = "gcc"
    history = 1
    yields = True

    def __init__(self, context: PolicyContext, parameters: GccParameters | None = None) -> None:
        self._p = parameters or GccParameters()
        self._rate: Floats = np.zeros(context.flows)  # 0: no decision yet
        self._threshold: Floats = np.full(context.flows, self._p.threshold_ms)
        self._rtt: Floats = np.zeros(context.flows)
        self._startup = np.ones(context.flows, bool)

    def forget(self, flows: Sequence[int]) -> None:
        """See Policy."""
        f = np.asarray(flows, np.int64)
        self._rate[f] = self._rtt[f] = 0
        self._threshold[f] = self._p.threshold_ms
        self._startup[f] = True

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        p, f = self._p, batch.flow
        w = batch.windows[:, -1].T
        queue, rtt, duration = w[F["queueing_delay_ns"]], w[F["rtt_mean_ns"]], w[F["duration_ns"]]
        delivered, acks = w[F["delivery_rate_bps"]], w[F["acks"]]
        app_limited = w[F["app_limited_share"]] >= 0.5
        outage = (acks == 0) & (w[F["inflight_bytes"]] > 0)
        rounds = duration / (rtt + p.response_ns)  # response times in this window

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
        asked = w[F["asked_rate_bps"]]
        foreign = ~first & (acks > 0) & (np.abs(asked - rate) > p.foreign * rate)
        usual = np.clip(asked, 0.5 * batch.bandwidth_bps, 2 * batch.bandwidth_bps)
        rate = np.where(foreign & ~self._startup[f], usual, rate)
        startup = self._startup[f] & ~over & (w[F["loss_rate"]] <= p.loss_low)
        factor = np.where(empty, p.probe, p.increase) ** rounds
        recalled = np.where(
            empty & ~app_limited, (1 - p.recall) * rate + p.recall * batch.bandwidth_bps, 0.0
        )
        ceiling = np.maximum(p.headroom * np.maximum(delivered, batch.bandwidth_bps), rate)
        grown = np.minimum(np.maximum(rate * factor, recalled), ceiling)
        grown = np.where(startup, np.maximum(p.startup * batch.bandwidth_bps, rate), grown)
        share = np.where(app_limited, np.maximum(delivered, rate), delivered)
        drained = np.clip(1 - queue / p.drain_ns, p.least_share, p.most_share)
        cut = np.minimum(drained * share, rate)
        fell = np.where(lossy, rate * (1 - 0.5 * w[F["loss_rate"]]), rate)
        new = np.where(
            over, np.minimum(cut, fell), np.where(lossy, fell, np.where(under, rate, grown))
        )
        new = np.where(outage, rate, np.maximum(new, p.min_rate_bps))
        self._rate[f] = new
        self._startup[f] = startup | (self._startup[f] & outage)
        return Actions(
            new,
            cwnd_packets(
                new,
                batch.min_rtt_ns,
                batch.mss_bytes,
                queue_ns=p.allowed_queue_ns,
                queue_rtt=p.allowed_queue_rtt,
            ),
        )

    def _adapted(self, f: NDArray[np.int64], trend: Floats, elapsed_ms: Floats) -> Floats:
        """The thresholds that hold for this window; afterwards they follow the trend, fast up and
        slowly down.
        """
        p, threshold = self._p, self._threshold[f]
        excess = np.abs(trend) - threshold
        gain = np.where(excess > 0, p.threshold_up, p.threshold_down)
        moved = threshold - np.expm1(-gain * elapsed_ms) * excess
        moved = np.clip(moved, p.threshold_min_ms, p.threshold_max_ms)
        self._threshold[f] = np.where(excess > p.threshold_skip_ms, threshold, moved)
        return threshold
