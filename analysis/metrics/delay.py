"""One-way and queueing delay per packet, and power.

The link's log has one row per packet and link. A flow that crosses several emulated links appears once in each; rows
are joined by order, for a link never reorders and nothing between emulated links does: the packet that link A delivers
k-th is the one that link B receives k-th.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.logs import DELIVERED, Bools, Float64s, Int64s, Log, where
from analysis.run import FlowInfo, LinkInfo


@dataclass(frozen=True)
class Journeys:
    """The data packets of a flow that arrived, in the order in which they entered the first emulated link; each [n].

    `owd_ns`: from entering the first emulated link to leaving the last. `queueing_ns`: of it, time in queues,
    transmission at the bottleneck's rate included. `exact`: False where the rows of several links could not be joined.
    """

    sent_ns: Int64s
    owd_ns: Int64s
    queueing_ns: Int64s
    exact: bool = True

    def between(self, start_ns: int, stop_ns: int) -> Journeys:
        """Those sent in [start, stop)."""
        chosen: Bools = (self.sent_ns >= start_ns) & (self.sent_ns < stop_ns)
        return Journeys(self.sent_ns[chosen], self.owd_ns[chosen], self.queueing_ns[chosen], self.exact)


def journeys(packets: Log, flow: FlowInfo, bottleneck: LinkInfo) -> Journeys:
    """The flow's packets on their way from the sender to the receiver.

    Where rows cannot be joined (a packet was lost between links), every packet is given the delay of the bottleneck
    and the propagation of the rest: base_owd - delay of the bottleneck.
    """
    data = where(packets, (packets["flow"] == flow.flow) & ~packets["ack"])
    hops = [where(data, data["link"] == link) for link in np.unique(data["link"])]
    hops.sort(key=lambda hop: int(hop["enqueue_ns"].min()))
    joined = _join(hops)
    if joined is not None:
        return joined
    rows = where(data, (data["link"] == bottleneck.link) & (data["verdict"] == DELIVERED))
    other_ns = max(0, flow.base_owd_ns - bottleneck.delay_ns)
    return Journeys(
        rows["enqueue_ns"],
        rows["deliver_ns"] - rows["enqueue_ns"] + other_ns,
        rows["dequeue_ns"] - rows["enqueue_ns"],
        exact=False,
    )


def _join(hops: list[Log]) -> Journeys | None:
    """None where the hops do not fit together. Every hop's rows, [n], may be in any order."""
    if not hops:
        nothing = np.empty(0, np.int64)
        return Journeys(nothing, nothing, nothing)
    sent_ns = size_bytes = last_ns = queueing_ns = np.empty(0, np.int64)
    for number, unsorted in enumerate(hops):
        order = np.argsort(unsorted["enqueue_ns"], kind="stable")
        hop = {name: column[order] for name, column in unsorted.items()}
        count = len(hop["enqueue_ns"])
        if number == 0:
            sent_ns, size_bytes = hop["enqueue_ns"], hop["size_bytes"]
            last_ns, queueing_ns = hop["enqueue_ns"], np.zeros(count, np.int64)
        # Rows beyond `count` were on their way when the log ended.
        fits = count <= len(size_bytes) and np.array_equal(size_bytes[:count], hop["size_bytes"])
        if not fits or np.any(hop["enqueue_ns"] < last_ns[:count]):
            return None
        arrived = hop["verdict"] == DELIVERED
        queueing_ns = (queueing_ns[:count] + hop["dequeue_ns"] - hop["enqueue_ns"])[arrived]
        sent_ns, size_bytes = sent_ns[:count][arrived], size_bytes[:count][arrived]
        last_ns = hop["deliver_ns"][arrived]
        in_order = np.argsort(last_ns, kind="stable")
        sent_ns, size_bytes = sent_ns[in_order], size_bytes[in_order]
        last_ns, queueing_ns = last_ns[in_order], queueing_ns[in_order]
    return Journeys(sent_ns, last_ns - sent_ns, queueing_ns)


def percentiles_ms(values_ns: Int64s | Float64s, points: tuple[int, ...]) -> dict[str, float] | None:
    """{"p50": …} in ms; None of no values. Linear interpolation between order statistics."""
    if not len(values_ns):
        return None
    found = np.percentile(values_ns, points) / 1e6
    return {f"p{point}": float(value) for point, value in zip(points, found, strict=True)}


def power(throughput_bps: float, owd_ns: Int64s) -> float | None:
    """Throughput / mean one-way delay (Kleinrock 1979), in Mbit/s per second; None of no packets."""
    mean_ns = float(owd_ns.mean()) if len(owd_ns) else 0.0
    return throughput_bps / 1e6 / (mean_ns / 1e9) if mean_ns > 0 else None


def rtt_samples(tcpinfo: Log, start_ns: int, stop_ns: int) -> Int64s:
    """The kernel's smoothed RTT (tcpi_rtt) as sampled in [start, stop), zeros (no sample yet) left out."""
    chosen = (tcpinfo["at_ns"] >= start_ns) & (tcpinfo["at_ns"] < stop_ns) & (tcpinfo["srtt_ns"] > 0)
    found: Int64s = tcpinfo["srtt_ns"][chosen]
    return found
