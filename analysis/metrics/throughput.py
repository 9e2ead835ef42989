"""Throughput and utilisation."""

from __future__ import annotations

import numpy as np

from analysis.logs import Float64s, Int64s
from traces.model import Trace

NS_PER_S = 1_000_000_000


def received_before(at_ns: Int64s, received_bytes: Int64s, times_ns: Int64s) -> Float64s:
    """The receiver's cumulative bytes at `times_ns`, linear between log entries, 0 before the first; float64[m].

    at_ns, received_bytes: [n], n may be 0.
    """
    if not len(at_ns):
        return np.zeros(len(times_ns))
    return np.interp(times_ns, at_ns, received_bytes.astype(np.float64), left=0.0)


def goodput_bps(at_ns: Int64s, received_bytes: Int64s, start_ns: int, stop_ns: int) -> float:
    """Application bytes received in [start, stop], in bit/s."""
    before, after = received_before(at_ns, received_bytes, np.array([start_ns, stop_ns]))
    return float(after - before) * 8 * NS_PER_S / (stop_ns - start_ns)


def windowed_bps(at_ns: Int64s, received_bytes: Int64s, edges_ns: Int64s) -> Float64s:
    """Goodput between consecutive edges; edges_ns: [m + 1] -> float64[m] in bit/s."""
    return np.diff(received_before(at_ns, received_bytes, edges_ns)) * 8 * NS_PER_S / np.diff(edges_ns)


def served_bps(dequeue_ns: Int64s, size_bytes: Int64s, edges_ns: Int64s) -> Float64s:
    """Rate at which packets left the queue between consecutive edges; edges_ns: [m + 1] -> float64[m] in bit/s."""
    served, _ = np.histogram(dequeue_ns, edges_ns, weights=size_bytes)
    return np.asarray(served * 8 * NS_PER_S / np.diff(edges_ns), dtype=np.float64)


def utilisation(delivered_bytes: float, trace: Trace, from_ns: int, to_ns: int) -> float | None:
    """Delivered bytes / bytes that the trace offered in [from, to) (trace time); None if it offered none."""
    offered_bytes = trace.capacity_bytes(from_ns, to_ns)
    return delivered_bytes / offered_bytes if offered_bytes > 0 else None
