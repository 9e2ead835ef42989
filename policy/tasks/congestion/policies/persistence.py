"""Sends what the path has carried, a little more while the queue is short, and lets cwnd bound the
queue.

The simplest forecast of a capacity, the persistence forecast, is that it stays as it is. With the
bandwidth estimate in its place the near-optimal rate of `policy.tasks.congestion.labels` becomes a
rule without any state of its own:

    rate = B (1 + growth * max(0, 1 - q / D)),

with B the bandwidth estimate, q the queueing delay and D the delay up to which the queue is short.
It does not ask for less than B, heavy loss apart: the estimate follows a falling capacity within
two windows, and until then cwnd, which is B * RTT and a few milliseconds, keeps the queue from
growing (`policy.tasks.congestion.cwnd`). That cwnd is what does the work: with room for another BDP
the same rule has BBR's queueing delay.

- Until the first queue or loss the rate is a multiple of the estimate, so that it doubles per round
  trip (as BBR's start-up); likewise after an outage and a pause
  (`policy.tasks.congestion.probing`).
- Loss: above `loss_low` the rate does not grow; above `loss_high` it falls by half the loss
  (draft-ietf-rmcat-gcc-02, section 6), since a policer drops without a queue.
- The objective (`policy.objective`) scales D and the queue that cwnd leaves room for, by a quarter
  for `latency` to four for `throughput`.
- A flow that its application limits keeps its estimate
  (`policy.tasks.congestion.estimates.bandwidth`), and so its rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch, PolicyContext
from policy.tasks.congestion.cwnd import cwnd_packets
from policy.tasks.congestion.fields import F


@dataclass(frozen=True)
class PersistenceParameters:
    """Constants, chosen in `policy.tasks.congestion.simulator` on training traces
    (docs/reference/policy-server.md).
    """

    growth: float = 0.4
    short_ns: float = 30e6
    startup: float = 2.0
    startup_most: float = 4.0  # in a window of several round trips
    full_queue_ns: float = 10e6  # start-up ends at this queueing delay or …
    full_queue_rtt: float = 0.4  # … this share of the minimum RTT, whichever is more
    loss_low: float = 0.02
    loss_high: float = 0.10
    allowed_queue_ns: float = 5e6  # in cwnd; this or …
    allowed_queue_rtt: float = 0.1  # … this share of the minimum RTT, whichever is more
    min_rate_bps: float = 100e3


class Persistence:
    """See the module. State per flow: whether it is in start-up and whether no ACK came in its last
    window, in an outage or a pause; when that ended [ns].
    """

    name = "persistence"
    history = 1
    yields = True

    def __init__(
        self, context: PolicyContext, parameters: PersistenceParameters | None = None
    ) -> None:
        self._p = parameters or PersistenceParameters()
        self._startup: NDArray[np.bool_] = np.ones(context.flows, bool)
        self._silent: NDArray[np.bool_] = np.zeros(context.flows, bool)
        self._back_ns: NDArray[np.float64] = np.full(context.flows, -np.inf)

    def forget(self, flows: Sequence[int]) -> None:
        """See Policy."""
        f = np.asarray(flows, np.int64)
        self._startup[f], self._silent[f], self._back_ns[f] = True, False, -np.inf

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        p, w = self._p, batch.windows[:, -1].T
        room = 4.0 ** (2.0 * batch.objective - 1.0)
        queue_ns, loss = w[F["queueing_delay_ns"]], w[F["loss_rate"]]
        full = queue_ns > np.maximum(p.full_queue_ns, p.full_queue_rtt * batch.min_rtt_ns)
        startup, fresh = self._starting(batch, full | (loss > p.loss_low), now_ns)
        grown = 1 + p.growth * np.maximum(0.0, 1 - queue_ns / (p.short_ns * room))
        rounds = w[F["duration_ns"]] / batch.min_rtt_ns
        probe = np.exp2(np.clip(rounds, np.log2(p.startup), np.log2(p.startup_most)))
        gain = np.where(startup & fresh, probe, np.where(loss > p.loss_low, 1.0, grown))
        gain = np.where(loss > p.loss_high, 1 - 0.5 * np.minimum(loss, 1.0), gain)
        rate_bps = np.maximum(batch.bandwidth_bps * gain, p.min_rate_bps)
        return Actions(
            rate_bps,
            cwnd_packets(
                rate_bps,
                batch.min_rtt_ns,
                batch.mss_bytes,
                queue_ns=p.allowed_queue_ns * room,
                queue_rtt=p.allowed_queue_rtt * room,
            ),
        )

    def _starting(
        self, batch: FlowBatch, full: NDArray[np.bool_], now_ns: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which flows are in start-up, and of which the newest window shows today's queue: what was
        sent before the end of an outage waited it out.
        """
        f, w = batch.flow, batch.windows[:, -1].T
        quiet = w[F["acks"]] == 0
        back = self._silent[f] & ~quiet
        self._back_ns[f] = np.where(back, now_ns - w[F["duration_ns"]], self._back_ns[f])
        fresh = (w[F["acks"]] > 0) & (w[F["rtt_mean_ns"]] < now_ns - self._back_ns[f])
        self._startup[f] = (self._startup[f] | back) & ~(fresh & full)
        self._silent[f] = quiet
        return self._startup[f], fresh
