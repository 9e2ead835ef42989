"""Per-packet delays, from the bottleneck's log.

Packets count that were delivered by the flow's stop time. What is queued then leaves only if the
link goes on for long enough, and how long that is depends on how fast the machine ends the cell's
processes; behind a long queue those packets are the latest of all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.files import Verdict
from analysis.run import Cell, Flow


def queueing_ns(packets: pd.DataFrame, flow: Flow) -> npt.NDArray[np.float64]:
    """From arrival at the bottleneck to leaving its queue, of ``flow``'s packets; includes their
    transmission.
    """
    own = _delivered(packets, flow)
    return np.asarray(own["dequeue_ns"] - own["enqueue_ns"], dtype=np.float64)


def one_way_ns(cell: Cell, flow: Flow, packets: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Time through the bottleneck link, queue and propagation, plus the propagation asked of the
    path's other links.
    """
    own = _delivered(packets, flow)
    own_delay_ns = next((link.delay_ns for link in cell.links if link.link == flow.bottleneck), 0)
    through = np.asarray(own["deliver_ns"] - own["enqueue_ns"], dtype=np.float64)
    return through + (flow.base_owd_ns - own_delay_ns)


def _delivered(packets: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    return packets[
        (packets["verdict"] == Verdict.DELIVERED) & (packets["deliver_ns"] <= flow.stop_ns)
    ]


def power(throughput_bps: float, one_way: npt.NDArray[np.float64]) -> float | None:
    """Throughput over mean one-way delay, in Mbit/s per second (Kleinrock 1979)."""
    if len(one_way) == 0:
        return None
    return throughput_bps / 1e6 / (float(np.mean(one_way)) / 1e9)
