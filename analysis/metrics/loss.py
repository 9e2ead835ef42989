"""Loss at the links and retransmission by the sender."""

from __future__ import annotations

import numpy as np

from analysis.logs import AQM_DROP, IN_QUEUE, RANDOM_LOSS, TAIL_DROP, Bools, Log


def loss_rate(packets: Log, flow: int, start_ns: int, stop_ns: int) -> float | None:
    """Share of a flow's data packets that some emulated link dropped; None if it sent none.

    Counted are packets that entered their first emulated link in [start, stop); those still queued when the link
    stopped are left out. Drops of later links count against the packets that entered the first.
    """
    data: Bools = (packets["flow"] == flow) & ~packets["ack"]
    data &= (packets["enqueue_ns"] >= start_ns) & (packets["enqueue_ns"] < stop_ns)
    if not data.any():
        return None
    link, verdict = packets["link"][data], packets["verdict"][data]
    first = link[np.argmin(packets["enqueue_ns"][data])]
    dropped = np.isin(verdict, (TAIL_DROP, AQM_DROP, RANDOM_LOSS))
    offered = int(np.count_nonzero(link == first)) - int(np.count_nonzero(verdict == IN_QUEUE))
    return float(np.count_nonzero(dropped)) / offered if offered > 0 else None


def retransmit_rate(tcpinfo: Log) -> float | None:
    """Bytes retransmitted / bytes sent, retransmissions included (tcpi_bytes_retrans, tcpi_bytes_sent), at the last
    sample; None if nothing was sent. tcpinfo: rows of one flow."""
    if not len(tcpinfo["at_ns"]):
        return None
    last = int(np.argmax(tcpinfo["at_ns"]))
    sent_bytes = int(tcpinfo["bytes_sent"][last])
    return int(tcpinfo["bytes_retrans"][last]) / sent_bytes if sent_bytes > 0 else None
