"""A run folder as loaded: manifest, cells and their logs. docs/reference/formats.md describes every
file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import AnalysisError
from traces.errors import TraceError
from traces.model import Trace
from traces.parquet import read_parquet

SCHEMA = 1

# What the metrics read of each log; docs/reference/formats.md has all columns.
_COLUMNS = {
    "packets": (
        "link",
        "flow",
        "ack",
        "enqueue_ns",
        "dequeue_ns",
        "deliver_ns",
        "size_bytes",
        "verdict",
    ),
    "goodput": ("flow", "at_ns", "received_bytes"),
    "tcpinfo": ("flow", "srtt_ns", "bytes_sent", "bytes_retrans"),
    "frames": ("flow", "captured_ns", "size_bytes", "sent_ns", "completed_ns", "displayed_ns"),
    "acks": ("flow", "at_ns", "delivered_bytes", "app_limited"),
    "decisions": (
        "flow",
        "generation",
        "window",
        "close_ack_ns",
        "applied_ns",
        "pacing_rate_bps",
        "tier",
        "deadline_missed",
    ),
    "events": ("at_ns", "event"),
}
_LINK_KEYS = (
    "link",
    "bottleneck",
    "trace",
    "delay_ns",
    "rate_error",
    "delay_error_ns",
    "step_lateness_ns",
)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AnalysisError(f"{path}: missing; is this a run folder?") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AnalysisError(f"{path}: cannot be read: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else None
        raise AnalysisError(f"{path}: schema {found!r}, this version reads {SCHEMA}")
    return data


@dataclass(frozen=True)
class Flow:
    """One flow of a cell; times are CLOCK_MONOTONIC."""

    flow: int
    kind: str
    role: str
    start_ns: int
    stop_ns: int
    base_owd_ns: int
    base_rtt_ns: int
    bottleneck: int | None

    @property
    def duration_ns(self) -> int:
        """Length of the flow."""
        return self.stop_ns - self.start_ns


@dataclass(frozen=True)
class Cell:
    """One finished cell. Logs are read when asked for; those that the cell did not write are
    empty.
    """

    folder: Path
    cc: str
    repeat: int
    seed: int
    start_ns: int
    stop_ns: int
    flows: Sequence[Flow]
    data: Mapping[str, Any]

    @property
    def measured(self) -> list[Flow]:
        """The flows of the comparison, without cross traffic."""
        return [flow for flow in self.flows if flow.role == "measured"]

    def log(self, name: str) -> pd.DataFrame:
        """``<name>.parquet`` of the cell; empty if there is none. Raises AnalysisError if it is
        corrupt.
        """
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            return pd.DataFrame()
        try:
            frame: pd.DataFrame = pq.read_table(path).to_pandas()
        except (OSError, pa.ArrowException) as error:
            raise AnalysisError(f"{path}: not a readable Parquet file: {error}") from error
        missing = [column for column in _COLUMNS.get(name, ()) if column not in frame.columns]
        if missing:
            raise AnalysisError(f"{path}: lacks {', '.join(missing)}")
        return frame

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

    @property
    def links(self) -> list[dict[str, Any]]:
        """Entries of cell.json, one per link and direction."""
        return list(self.data["links"])

    def data_packets(self, flow: Flow) -> pd.DataFrame:
        """Packets with data of ``flow`` at its bottleneck."""
        packets = self.packets
        chosen = (
            (packets["flow"] == flow.flow) & ~packets["ack"] & (packets["link"] == flow.bottleneck)
        )
        return packets[chosen]

    def bottleneck_trace(self, flow: Flow) -> Trace | None:
        """Capacity of the flow's bottleneck; its time zero is ``start_ns``."""
        link = next((link for link in self.links if link["link"] == flow.bottleneck), None)
        if link is None or not link.get("trace"):
            return None
        path = self.folder.parent.parent / link["trace"]
        try:
            return read_parquet(path)
        except (OSError, TraceError) as error:
            raise AnalysisError(f"{path}: the replayed trace cannot be read: {error}") from error


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path
    manifest: Mapping[str, Any]
    cells: Sequence[Cell]
    skipped: Sequence[str]  # cells that did not finish, in words


def load_run(folder: Path) -> Run:
    """Read a run folder. Raises AnalysisError if it is none, or holds no finished cell."""
    path = folder / "manifest.json"
    manifest = _read_json(path)
    try:
        planned = [(str(entry["folder"]), str(entry["status"])) for entry in manifest["cells"]]
        _ = manifest["scenario"].items(), manifest["trace"]["name"], manifest["environment"]
    except (AttributeError, KeyError, TypeError) as error:
        raise AnalysisError(
            f"{path}: not a run's manifest: {error} is missing or malformed"
        ) from error
    cells, skipped = [], []
    for name, status in planned:
        if status != "done":
            skipped.append(f"cell {name} is {status}, left out")
            continue
        cells.append(_load_cell(folder / "cells" / name))
    if not cells:
        raise AnalysisError(f"{folder}: no cell of this run finished; {len(skipped)} were planned")
    return Run(folder, manifest, cells, skipped)


def _load_cell(folder: Path) -> Cell:
    path = folder / "cell.json"
    data = _read_json(path)
    try:
        flows = [
            Flow(
                flow=int(flow["flow"]),
                kind=str(flow["kind"]),
                role=str(flow["role"]),
                start_ns=int(flow["start_ns"]),
                stop_ns=int(flow["stop_ns"]),
                base_owd_ns=int(flow["base_owd_ns"]),
                base_rtt_ns=int(flow["base_rtt_ns"]),
                bottleneck=flow["bottleneck"],
            )
            for flow in data["flows"]
        ]
        for link in data["links"]:
            _ = [link[key] for key in _LINK_KEYS]
        return Cell(
            folder=folder,
            cc=str(data["cc"]),
            repeat=int(data["repeat"]),
            seed=int(data["seed"]),
            start_ns=int(data["start_ns"]),
            stop_ns=int(data["stop_ns"]),
            flows=flows,
            data=data,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AnalysisError(f"{path}: key {error} is missing or malformed") from error
