"""A run folder as loaded: manifest, cells and their logs. Docs/reference/formats.md describes every
file, `analysis.files` and `analysis.logs` hold the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa

from analysis.errors import AnalysisError
from analysis.files import (
    CELLS,
    CellRecord,
    FlowRecord,
    LinkEntry,
    Manifest,
    read_cell,
    read_manifest,
)
from analysis.frames import log_names, read_frame
from analysis.logs import read_log
from traces.errors import TraceError
from traces.model import Trace
from traces.parquet import read_parquet

Flow = FlowRecord


@dataclass(frozen=True)
class Cell:
    """One finished cell. Logs are read when asked for; those that the cell did not write are
    empty.
    """

    folder: Path
    record: CellRecord

    @property
    def cc(self) -> str:
        """The controller, as --cc names it; with who chose the levels or scheduled the jobs, where
        a run compares them.
        """
        names = (self.record.cc, self.record.abr, self.record.scheduler)
        return " + ".join(name for name in names if name)

    @property
    def repeat(self) -> int:
        """Number of the repeat."""
        return self.record.repeat

    @property
    def seed(self) -> int:
        """Seed of everything random in the cell."""
        return self.record.seed

    @property
    def start_ns(self) -> int:
        """CLOCK_MONOTONIC; time zero of the traces."""
        return self.record.start_ns

    @property
    def stop_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return self.record.stop_ns

    @property
    def flows(self) -> Sequence[Flow]:
        """All flows, cross traffic too."""
        return self.record.flows

    @property
    def links(self) -> Sequence[LinkEntry]:
        """One entry per link and direction."""
        return self.record.links

    @property
    def is_policy(self) -> bool:
        """Whether a policy should have controlled the measured flows."""
        # `policy`, `policy:llm`, `policy@throughput`: what a flow wants may stand behind.
        return self.record.cc.partition(":")[0].partition("@")[0] == "policy"

    @property
    def measured(self) -> list[Flow]:
        """The flows of the comparison, without cross traffic."""
        return [flow for flow in self.flows if flow.role == "measured"]

    def log(self, name: str, columns: pa.Schema | None = None) -> pd.DataFrame:
        """``<name>.parquet`` of the cell; empty if there is none. Raises AnalysisError if it is
        corrupt. columns: see ``read_log``.
        """
        return read_log(self.folder, name, columns)

    def needed_log(self, name: str) -> pd.DataFrame:
        """``log`` of what every such cell has. Raises AnalysisError, also if it is missing."""
        found = self.log(name)
        if not len(found.columns):
            raise AnalysisError(
                f"{self.folder / name}.parquet: missing, and this cell must have one"
            )
        return found

    @cached_property
    def packets(self) -> pd.DataFrame:
        """The links' log; link numbers as in ``links``. Raises AnalysisError if it is missing."""
        return self.needed_log("packets")

    def data_packets(self, flow: Flow) -> pd.DataFrame:
        """Packets with data of ``flow`` at its bottleneck."""
        packets = self.packets
        chosen = (
            (packets["flow"] == flow.flow) & ~packets["ack"] & (packets["link"] == flow.bottleneck)
        )
        return packets[chosen]

    def ack_packets(self, flow: Flow) -> pd.DataFrame:
        """ACKs of ``flow`` at its bottleneck's other direction; empty where that has no limit."""
        packets = self.packets
        back = None if flow.bottleneck is None else flow.bottleneck ^ 1
        limited = any(link.link == back and link.trace for link in self.links)
        chosen = (packets["flow"] == flow.flow) & packets["ack"] & (packets["link"] == back)
        return packets[chosen & limited]

    def marks(self, flow: Flow) -> bool:
        """Whether the queue of the flow's bottleneck marks packets instead of dropping them."""
        return any(
            link.link == flow.bottleneck and link.queue_options.get("ecn") for link in self.links
        )

    def bottleneck_trace(self, flow: Flow) -> Trace | None:
        """Capacity of the flow's bottleneck; its time zero is ``start_ns``."""
        link = next((link for link in self.links if link.link == flow.bottleneck), None)
        if link is None or not link.trace:
            return None
        path = self.folder.parent.parent / link.trace
        try:
            return read_parquet(path)
        except (OSError, TraceError, ValueError, TypeError) as error:
            raise AnalysisError(f"{path}: the replayed trace cannot be read: {error}") from error


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path
    manifest: Manifest
    cells: Sequence[Cell]
    skipped: Sequence[str]  # cells that did not finish, in words

    def frame(self, name: str) -> pd.DataFrame:
        """A log of all finished cells as one frame: `cell`, `cc` and `repeat`, then every column of
        docs/reference/formats.md with its type (nullable), and `<x>_s`, seconds since the cell's
        start, beside every time `<x>_ns`. Cells without the log are left out.

        Raises AnalysisError if no cell has it.
        """
        frames = []
        for cell in self.cells:
            if (cell.folder / f"{name}.parquet").exists():
                own = read_frame(cell.folder, name, cell.start_ns)
                own.insert(0, "cell", cell.folder.name)
                own.insert(1, "cc", cell.cc)
                own.insert(2, "repeat", cell.repeat)
                frames.append(own)
        if not frames:
            there = ", ".join(log_names(self.cells[0].folder))
            raise AnalysisError(f"{self.folder}: no cell has a log {name!r}; there are: {there}")
        return pd.concat(frames, ignore_index=True)


def load_run(folder: str | Path) -> Run:
    """Read a run folder. Raises AnalysisError if it is none, or holds no finished cell."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    cells, skipped = [], []
    for entry in manifest.cells:
        if entry.status != "done":
            skipped.append(f"cell {entry.folder} is {entry.status}, left out")
            continue
        path = folder / CELLS / entry.folder
        cells.append(Cell(path, read_cell(path)))
    if not cells:
        raise AnalysisError(f"{folder}: no cell of this run finished; {len(skipped)} were planned")
    return Run(folder, manifest, cells, skipped)
