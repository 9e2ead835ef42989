"""How much may be in flight: what keeps a queue short between two decisions.

A rate is decided once per window, and capacity may halve within one; until the next decision the
queue then grows by what is sent too much. Cwnd stops that within a round trip, since ACKs clock it:
with one bandwidth-delay product in flight there is no queue, so what is allowed beyond it bounds
the queue in units of time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch
from policy.objective import BALANCED
from policy.tasks.congestion.fields import F
from policy.tasks.congestion.probing import idle
from policy.tasks.congestion.settings import ServingConfig
from policy.tasks.congestion.windows import WindowFolder

Floats = NDArray[np.float64]
SPARE_PACKETS = 3.0
"""For delayed ACKs, a few that come together, and the pacing's own bursts."""
MIN_CWND_PACKETS = 4.0
INITIAL_PACKETS = 10.0
"""The initial window of RFC 6928."""
BEGIN = 2.0
"""Of the bandwidth estimate: what a flow begins with after a pause."""
DRAIN = 0.75
"""Of the bandwidth estimate: what a flow sends at least while cwnd has room for a longer route (as
BBR's gain when it drains a queue)."""


def cwnd_packets(
    rate_bps: Floats,
    min_rtt_ns: Floats,
    mss_bytes: Floats,
    *,
    queue_ns: float | Floats,
    queue_rtt: float | Floats,
) -> Floats:
    """Cwnd [packets, not rounded] of flows that send at `rate_bps`; all arrays [n].

    rate * (min RTT + Q) / MSS + 3, at least four, with the allowed queue Q = max(queue_ns,
    queue_rtt * min RTT).
    """
    allowed_ns = min_rtt_ns + np.maximum(queue_ns, queue_rtt * min_rtt_ns)
    packets = rate_bps * allowed_ns / 8e9 / mss_bytes + SPARE_PACKETS
    cwnd: Floats = np.maximum(packets, MIN_CWND_PACKETS)
    return cwnd


def helped(actions: Actions, batch: FlowBatch, folder: WindowFolder) -> Actions:
    """The actions of a policy that keeps queues short, with what it would starve without: after
    pauses, on routes that flap, and where ACKs come together. folder: of the batch's windows.
    """
    actions = for_pauses(actions, batch)
    actions = for_routes(actions, batch, *folder.recent_routes(batch.flow))
    return with_room(actions, folder.extra_acked_bytes(batch.flow), batch.mss_bytes)


def with_room(actions: Actions, extra_acked_bytes: Floats, mss_bytes: Floats) -> Actions:
    """The actions with room in cwnd for ACKs that come together
    (`policy.tasks.congestion.aggregation`), beyond the spare packets that each cwnd has for them.
    """
    extra = extra_acked_bytes / np.where(mss_bytes > 0, mss_bytes, np.inf)
    more = np.maximum(extra - SPARE_PACKETS, 0.0)
    return Actions(actions.pacing_rate_bps, actions.cwnd_packets + more)


def for_pauses(actions: Actions, batch: FlowBatch) -> Actions:
    """The actions with what a flow may begin with after a pause, and while nothing is known of its
    path.

    What was asked for before a pause holds until its first window afterwards has been answered, and
    the flows that shared the path may be gone: twice the estimate, as in the first round trip of
    a start-up, and at least the initial window (RFC 6928), which every TCP begins with.
    """
    newest, known_rtt = batch.windows[:, -1], batch.min_rtt_ns > 0
    begins = (idle(newest) | (batch.bandwidth_bps == 0)) & known_rtt
    if not begins.any():
        return actions
    rtt_ns = np.where(known_rtt, batch.min_rtt_ns, 1.0)
    initial_bps = INITIAL_PACKETS * batch.mss_bytes * 8e9 / rtt_ns
    rate = np.maximum(BEGIN * batch.bandwidth_bps, initial_bps)
    cwnd = rate * rtt_ns / 8e9 / np.maximum(batch.mss_bytes, 1.0)
    return Actions(
        np.where(begins, np.maximum(actions.pacing_rate_bps, rate), actions.pacing_rate_bps),
        np.where(begins, np.maximum(actions.cwnd_packets, cwnd), actions.cwnd_packets),
    )


def for_routes(
    actions: Actions, batch: FlowBatch, recent_rtt_ns: Floats, fallen: NDArray[np.bool_]
) -> Actions:
    """The actions with cwnd for the longest route that a flow had lately
    (`policy.tasks.congestion.routes.recent_routes`).

    On a route that flaps the ACKs of a detour come after its RTT, and until then the cwnd of the
    short way is all that the flow can send. With more in flight cwnd no longer keeps the queue
    short: the pacing rate does, which is at most what that cwnd would send at the RTT of now. What
    is left of a longer route's RTT may be the flow's own queue, so that it then sends less.
    """
    longer = recent_rtt_ns > batch.min_rtt_ns
    if not longer.any():
        return actions
    rate, cwnd = (
        np.array(each, np.float64) for each in (actions.pacing_rate_bps, actions.cwnd_packets)
    )
    rtt_ns = np.maximum(batch.windows[:, -1, F["rtt_min_ns"]], batch.min_rtt_ns)
    clocked_bps = np.where(fallen, 0.0, cwnd * batch.mss_bytes * 8e9 / rtt_ns)
    most_bps = np.maximum(clocked_bps, DRAIN * batch.bandwidth_bps)
    ratio = recent_rtt_ns / batch.min_rtt_ns
    room = np.maximum(cwnd - SPARE_PACKETS, 1.0) * ratio + SPARE_PACKETS
    return Actions(np.where(longer, np.minimum(rate, most_bps), rate), np.where(longer, room, cwnd))


def rate_and_cwnd(
    action_log2: NDArray[np.floating],
    bandwidth_bps: NDArray[np.float64],
    min_rtt_ns: NDArray[np.float64],
    mss_bytes: NDArray[np.float64],
    settings: ServingConfig | None = None,
    objective: NDArray[np.float64] | float = BALANCED,
    growth: NDArray[np.float64] | float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pacing rate [bit/s] and cwnd [packets] of actions; all arrays [n].

    cwnd holds bandwidth * 2^action * min RTT and the queue that is allowed
    (`cwnd_packets`), longer or shorter by what the flow wants. The pacing rate is
    bandwidth * 2^action too, but not below the estimate: a smaller cwnd drains a queue within a
    round trip and lets go as soon as ACKs come faster, where a lower rate would hold for all of the
    window. growth: how many times the estimate is asked for at least.
    """
    settings = settings or ServingConfig()
    room = settings.objective_room ** (2.0 * objective - 1.0)
    factor = np.exp2(np.clip(action_log2, -1.0, 1.0).astype(np.float64))
    wanted_bps = bandwidth_bps * np.maximum(factor, growth)
    cwnd = cwnd_packets(
        wanted_bps,
        min_rtt_ns,
        mss_bytes,
        queue_ns=settings.allowed_queue_ns * room,
        queue_rtt=settings.allowed_queue_rtt * room,
    )
    return np.maximum(wanted_bps, bandwidth_bps), cwnd
