"""A small closed loop for tuning and testing tiers: fluid queues of varying capacity in steps of 1
ms.

A link has a byte-limited droptail queue, first in, first out, capacity per step and a propagation
RTT, which may change with the route; usually one flow, or several that share it in proportion to
what they send. The sender obeys a pacing rate and a cwnd; lost data is sent again as new. What a
real datapath would report per ACK goes through the same folding into windows as in the server.
Packet-level effects (reordering, delayed ACKs) are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policy.tasks.congestion.windows import Records

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
STEP_NS = 1_000_000
MSS_BYTES = 1448.0


@dataclass(frozen=True)
class Links:
    """n links over k steps. capacity_bps: float64[k, n]; rtt_ms: int64[n], or int64[k, n] where it
    changes; buffer_bytes: float64[n]; link_of: the link of each of m flows, int64[m], or None: one
    flow on each, in order.

    An RTT that grows holds ACKs back; one that shrinks brings what is on its way at once. An RTT
    that goes up and down all the time is a path that aggregates ACKs.
    """

    capacity_bps: Floats
    rtt_ms: Ints
    buffer_bytes: Floats
    link_of: Ints | None = None


@dataclass(frozen=True)
class Feedback:
    """ACKs of one step: float64[n] bytes newly delivered and newly known lost, RTT (0: no ACK),
    bytes in flight; and what stands in the bottleneck's queue, which no sender knows: for oracles.
    """

    at_ns: int
    delivered_bytes: Floats
    lost_bytes: Floats
    rtt_ns: Floats
    inflight_bytes: Floats
    queue_bytes: Floats


@dataclass(frozen=True)
class TransportState:
    """What TCP_INFO shows of m flows after an ACK, [m]: the newest delivery rate, whether the
    application limited it, and the rate that the controller allows, the lesser of pacing rate and
    cwnd / srtt."""

    flows: Ints
    delivery_rate_bps: Floats
    app_limited: NDArray[np.bool_]
    allowed_bps: Floats


class Source(Protocol):
    """An application on n flows, one for each."""

    def observe(self, state: TransportState, step: int) -> None:
        """ACKs came for these flows."""

    def produce(self, step: int, backlog_bytes: Floats) -> Floats:
        """Bytes that join (or, skipped, leave) each flow's unsent backlog in this step."""


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
    """Per flow, float64[m]: throughput, share of its link's capacity used, queueing delay over
    delivered bytes; and the courses over the steps, float64[k, m]: delivered bytes, queueing delay
    in ms of what left, pacing rate."""

    throughput_bps: Floats
    utilisation: Floats
    queueing_p50_ms: Floats
    queueing_p95_ms: Floats
    loss_rate: Floats
    delivered_bytes: Floats
    queueing_ms: Floats
    pacing_rate_bps: Floats


def simulate(
    links: Links, controller: Controller, skip_ms: int = 0, source: Source | None = None
) -> Outcome:
    """Run all links. skip_ms: leave the start out of the summary figures; source: without one,
    flows are greedy.
    """
    steps, count = links.capacity_bps.shape
    every_link = np.arange(count)
    link_of = every_link if links.link_of is None else links.link_of
    n = len(link_of)
    everyone = np.arange(n)
    rtts_ms = np.broadcast_to(links.rtt_ms, (steps, count))[:, link_of]
    opportunity = links.capacity_bps * (STEP_NS / 8e9)
    came, left = (
        np.zeros((steps + 1, count)),
        np.zeros(count),
    )  # cumulative bytes of all flows of a link
    accepted, dropped, departed, lost_known = (np.zeros((steps + 1, n)) for _ in range(4))
    wait_ms, limited, rates = (
        np.zeros((steps + 1, n)),
        np.zeros((steps + 1, n), bool),
        np.zeros((steps + 1, n)),
    )
    acked_at = np.zeros((steps + 1, n))
    sent, credit, app_backlog, srtt = (np.zeros(n) for _ in range(4))
    min_rtt = np.full(n, np.inf)
    head = np.zeros(count, np.int64)  # step in which what leaves the queue now came in
    back = np.zeros(n, np.int64)  # step in which what is acknowledged now left the queue
    for k in range(1, steps + 1):
        rtt_ms, before = rtts_ms[k - 1], back
        back = np.maximum(k - rtt_ms, back)
        acked = np.floor(departed[back, everyone] / MSS_BYTES) * MSS_BYTES
        acked_at[k] = acked
        lost = lost_known[back, everyone]
        new = acked - acked_at[k - 1]
        newly_lost = lost - lost_known[before, everyone]
        rtt = np.where(new > 0, (k - back + wait_ms[back, everyone]) * STEP_NS, 0.0)
        min_rtt = np.where(rtt > 0, np.minimum(min_rtt, rtt), min_rtt)
        srtt = np.where(rtt > 0, np.where(srtt > 0, srtt + (rtt - srtt) / 8, rtt), srtt)
        inflight = sent - acked - lost
        now_ns = k * STEP_NS
        controller.on_feedback(
            Feedback(now_ns, new, newly_lost, rtt, inflight, accepted[k - 1] - departed[k - 1])
        )
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
            if source is not None:
                window_bps = controller.cwnd_packets * MSS_BYTES * 8e9 / np.maximum(srtt, 1)
                allowed = np.minimum(controller.pacing_rate_bps, window_bps)[heard]
                source.observe(TransportState(heard, rate, flags, allowed), k)
        else:
            records = _NOTHING
        controller.on_records(records, now_ns)

        pace = controller.pacing_rate_bps * (STEP_NS / 8e9)
        credit = np.minimum(credit + pace, np.maximum(2 * pace, 2 * MSS_BYTES))
        room = np.maximum(controller.cwnd_packets * MSS_BYTES - inflight, 0.0)
        send = np.minimum(credit, room)
        if source is not None:
            app_backlog += newly_lost + source.produce(
                k - 1, app_backlog
            )  # what was lost is sent again
            limited[k] = app_backlog - np.floor(send / MSS_BYTES) * MSS_BYTES < MSS_BYTES
            send = np.minimum(send, np.ceil(app_backlog / MSS_BYTES) * MSS_BYTES)
        send = np.floor(send / MSS_BYTES) * MSS_BYTES
        credit -= send
        if source is not None:
            send = np.minimum(send, app_backlog)
            app_backlog -= send
        sent += send
        wanted = np.bincount(link_of, send, count)
        space = np.maximum(links.buffer_bytes - (came[k - 1] - left), 0.0)
        fits = np.minimum(np.divide(space, wanted, out=np.ones(count), where=wanted > 0), 1.0)
        enter = send * fits[link_of]
        accepted[k], dropped[k] = accepted[k - 1] + enter, dropped[k - 1] + send - enter
        came[k] = came[k - 1] + np.minimum(wanted, space)
        left = np.minimum(came[k], left + opportunity[k - 1])
        idle = left >= came[k]
        while True:  # oldest step with data still in the queue
            behind = ~idle & (came[head, every_link] <= left)
            if not behind.any():
                break
            head[behind] += 1
        head[idle] = k
        older = np.maximum(head - 1, 0)
        since = came[head, every_link] - came[older, every_link]
        part = np.divide(left - came[older, every_link], since, out=np.ones(count), where=since > 0)
        part = np.where(idle, 1.0, part)[link_of]  # of what came in that step has left
        newest, older = head[link_of], older[link_of]
        base = accepted[older, everyone]
        departed[k] = base + part * (accepted[newest, everyone] - base)
        wait_ms[k] = k - newest
        lost_known[k] = np.where(idle[link_of], dropped[k], dropped[older, everyone])
        rates[k] = controller.pacing_rate_bps
    out = np.diff(departed, axis=0)[skip_ms:]
    waits = wait_ms[1 + skip_ms :]
    seconds = out.shape[0] * STEP_NS / 1e9
    total = out.sum(axis=0)
    possible = opportunity[skip_ms:].sum(axis=0)[link_of]
    p50, p95 = (_weighted_percentile(waits, out, q) for q in (0.5, 0.95))
    return Outcome(
        total * 8 / seconds,
        np.divide(total, possible, out=np.full_like(total, np.nan), where=possible > 0),
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
