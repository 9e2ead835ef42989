"""When in a cell the queue stood and packets were lost: its first quarter, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.files import LOST, Verdict
from analysis.run import Cell

FIRST = 0.25
"""The part of a cell that counts as its start."""


@dataclass(frozen=True)
class Course:
    """Of the measured flows' data packets at their bottleneck, before and after a cell's first
    quarter. A share or percentile of no packets is NaN.
    """

    queue_p95_ms: tuple[float, float]
    lost: tuple[float, float]

    def __str__(self) -> str:
        queue, lost = self.queue_p95_ms, self.lost
        return f"{queue[0]:.0f} / {queue[1]:.0f} ms | {lost[0] * 100:.1f} / {lost[1] * 100:.1f} %"


@dataclass(frozen=True)
class Arrivals:
    """Packets at a queue: when in the cell (0 to 1), how long each waited (NaN if it did not
    leave) and whether it was lost.
    """

    at: npt.NDArray[np.float64]
    waited_ms: npt.NDArray[np.float64]
    lost: npt.NDArray[np.bool_]


def course(cells: Sequence[Cell]) -> Course:
    """Of the packets of all cells together."""
    parts = [_arrivals(cell) for cell in cells]
    return course_of(
        Arrivals(
            np.concatenate([part.at for part in parts]),
            np.concatenate([part.waited_ms for part in parts]),
            np.concatenate([part.lost for part in parts]),
        )
    )


def course_of(arrivals: Arrivals) -> Course:
    """Split the packets by when they came. Pure."""
    early = arrivals.at < FIRST
    halves = (early, ~early)

    def p95(chosen: npt.NDArray[np.bool_]) -> float:
        waited = arrivals.waited_ms[chosen & np.isfinite(arrivals.waited_ms)]
        return float(np.percentile(waited, 95)) if len(waited) else float("nan")

    def share(chosen: npt.NDArray[np.bool_]) -> float:
        return float(arrivals.lost[chosen].mean()) if chosen.any() else float("nan")

    return Course(
        queue_p95_ms=(p95(halves[0]), p95(halves[1])),
        lost=(share(halves[0]), share(halves[1])),
    )


def _arrivals(cell: Cell) -> Arrivals:
    packets = cell.packets
    chosen = np.zeros(len(packets), dtype=bool)
    for flow in cell.measured:
        chosen |= (
            (packets["flow"] == flow.flow) & ~packets["ack"] & (packets["link"] == flow.bottleneck)
        ).to_numpy()
    chosen &= (packets["verdict"] != Verdict.DUPLICATE).to_numpy()
    own = packets[chosen]
    length_ns = max(1, cell.stop_ns - cell.start_ns)
    return Arrivals(
        at=(own["enqueue_ns"].to_numpy(np.float64) - cell.start_ns) / length_ns,
        waited_ms=(own["dequeue_ns"] - own["enqueue_ns"]).to_numpy(np.float64) / 1e6,
        lost=own["verdict"].isin(LOST).to_numpy(),
    )
