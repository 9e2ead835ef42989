"""Goodput at the receiver and utilisation of the bottleneck."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.files import Verdict
from analysis.run import Cell, Flow

WINDOW_NS = 100_000_000


def goodput_bps(goodput: pd.DataFrame, flow: Flow) -> float:
    """Application bytes received during the flow, over its length."""
    rows = goodput[goodput["flow"] == flow.flow] if len(goodput) else goodput
    within = rows[rows["at_ns"] <= flow.stop_ns] if len(rows) else rows
    received_bytes = int(within["received_bytes"].max()) if len(within) else 0
    return received_bytes * 8e9 / flow.duration_ns


def delivered_bps(
    packets: pd.DataFrame, start_ns: int, stop_ns: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Seconds since start (window centres) and the rate at which packets left the queue, per 100
    ms.
    """
    sent = packets.loc[packets["verdict"] == Verdict.DELIVERED, ["dequeue_ns", "size_bytes"]]
    edges = np.arange(start_ns, stop_ns + 1, WINDOW_NS)
    sums, _ = np.histogram(
        sent["dequeue_ns"], bins=edges, weights=sent["size_bytes"].astype(np.float64)
    )
    centres_s = np.asarray((edges[:-1] - start_ns + WINDOW_NS / 2) / 1e9, np.float64)
    return centres_s, np.asarray(sums, np.float64) * 8e9 / WINDOW_NS


def capacity_bps(cell: Cell, flow: Flow) -> npt.NDArray[np.float64]:
    """What the trace offered in the same windows; NaN where the bottleneck has no trace."""
    edges = np.arange(0, cell.stop_ns - cell.start_ns + 1, WINDOW_NS)
    trace = cell.bottleneck_trace(flow)
    if trace is None:
        return np.full(len(edges) - 1, np.nan)
    offered = np.asarray(trace.capacity_bytes(edges[:-1], edges[1:]), dtype=np.float64)
    return offered * 8e9 / WINDOW_NS


def utilisation(cell: Cell, flow: Flow, packets: pd.DataFrame) -> float | None:
    """Bytes of the flow that the bottleneck delivered during it / bytes that the trace offered
    meanwhile.
    """
    trace = cell.bottleneck_trace(flow)
    if trace is None or not len(packets):  # no packets at all: a link backend that cannot see them
        return None
    offered = float(
        trace.capacity_bytes(flow.start_ns - cell.start_ns, flow.stop_ns - cell.start_ns)
    )
    if offered <= 0:
        return None
    left = packets[
        (packets["verdict"] == Verdict.DELIVERED)
        & packets["dequeue_ns"].between(flow.start_ns, flow.stop_ns)
    ]
    return float(left["size_bytes"].sum()) / offered


def link_utilisation(cell: Cell, flow: Flow) -> float | None:
    """Bytes of all measured flows through the flow's bottleneck / bytes that the trace offered,
    from the first one's start to the last one's stop; null for a single flow.
    """
    flows = [other for other in cell.measured if other.bottleneck == flow.bottleneck]
    trace = cell.bottleneck_trace(flow)
    packets = cell.packets
    if len(flows) < 2 or trace is None or not len(packets):
        return None
    start_ns, stop_ns = min(each.start_ns for each in flows), max(each.stop_ns for each in flows)
    offered = float(trace.capacity_bytes(start_ns - cell.start_ns, stop_ns - cell.start_ns))
    if offered <= 0:
        return None
    left = packets[
        packets["flow"].isin([each.flow for each in flows])
        & ~packets["ack"]
        & (packets["link"] == flow.bottleneck)
        & (packets["verdict"] == Verdict.DELIVERED)
        & packets["dequeue_ns"].between(start_ns, stop_ns)
    ]
    return float(left["size_bytes"].sum()) / offered
