"""Per-packet delays, from the bottleneck's log, data direction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.files import Verdict
from analysis.run import Cell, Flow


def queueing_ns(packets: pd.DataFrame) -> npt.NDArray[np.float64]:
    """From arrival at the bottleneck to leaving its queue, of packets that did; includes their
    transmission.
    """
    sent = packets[packets["verdict"] == Verdict.DELIVERED]
    return np.asarray(sent["dequeue_ns"] - sent["enqueue_ns"], dtype=np.float64)


def one_way_ns(cell: Cell, flow: Flow, packets: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Time through the bottleneck link, queue and propagation, plus the propagation asked of the
    path's other links.
    """
    sent = packets[packets["verdict"] == Verdict.DELIVERED]
    own_delay_ns = next((link.delay_ns for link in cell.links if link.link == flow.bottleneck), 0)
    through = np.asarray(sent["deliver_ns"] - sent["enqueue_ns"], dtype=np.float64)
    return through + (flow.base_owd_ns - own_delay_ns)


def power(throughput_bps: float, one_way: npt.NDArray[np.float64]) -> float | None:
    """Throughput over mean one-way delay, in Mbit/s per second (Kleinrock 1979)."""
    if len(one_way) == 0:
        return None
    return throughput_bps / 1e6 / (float(np.mean(one_way)) / 1e9)
