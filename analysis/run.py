"""A run folder as typed values: what docs/formats.md describes, checked while it is read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis import logs
from analysis.errors import AnalysisError
from analysis.logs import Log
from traces.errors import TraceError
from traces.model import Trace
from traces.parquet import read_parquet

SCHEMA = 1


class _Record(BaseModel):
    """Keys we do not know are left alone: a folder may say more than this version reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class CellEntry(_Record):
    """A cell as manifest.json lists it."""

    folder: str
    cc: str
    repeat: int
    seed: int
    status: str


class TraceEntry(_Record):
    """The bottleneck's trace; `file` is relative to the run folder."""

    name: str
    file: str


class Manifest(_Record):
    """manifest.json."""

    format: int = Field(alias="schema")
    run_id: str
    status: str
    scenario: dict[str, Any]
    environment: dict[str, Any]
    trace: TraceEntry | None = None
    buffer_bytes: int | None = None
    link_backend: str | None = None
    cells: list[CellEntry]


class FlowInfo(_Record):
    """A flow of a cell. `bottleneck` is the `link` at which it is judged, data direction."""

    flow: int
    kind: str
    role: Literal["measured", "cross"]
    cc: str
    start_ns: int
    stop_ns: int
    base_owd_ns: int
    base_rtt_ns: int
    bottleneck: int | None


class LatePercentiles(_Record):
    """A duration's p50 and p99 (ns)."""

    p50: float
    p99: float


class LinkInfo(_Record):
    """One direction of an emulated link."""

    link: int
    name: str
    direction: Literal["forward", "reverse"]
    bottleneck: bool
    trace: str | None
    delay_ns: int
    jitter_ns: int = 0
    queue: str
    limit_bytes: int
    loss: str | None
    backend: str
    per_packet: bool = True
    step_lateness_ns: LatePercentiles | None
    delay_error_ns: LatePercentiles | None = None
    rate_error: list[float] = []
    warnings: list[str] = []


class CpuSample(_Record):
    """Fractions of all cores' time since the sample before."""

    at_ns: int
    busy: float
    steal: float
    softirq: float


class CpuInfo(_Record):
    """CPU use during the cell."""

    samples: list[CpuSample] = []


class CellInfo(_Record):
    """cell.json."""

    format: int = Field(alias="schema")
    index: int
    cc: str
    tcp_congestion: str
    repeat: int
    seed: int
    status: str
    start_ns: int
    stop_ns: int
    flows: list[FlowInfo]
    links: list[LinkInfo]
    cpu: CpuInfo = CpuInfo()
    warnings: list[str] = []
    agent: dict[str, Any] | None = None


@dataclass(frozen=True)
class Cell:
    """A finished cell: its description and, on demand, its logs. Readers raise AnalysisError naming the file."""

    path: Path
    info: CellInfo

    @property
    def name(self) -> str:
        """Name of the cell's folder."""
        return self.path.name

    @property
    def measured(self) -> list[FlowInfo]:
        """The flows that are compared; cross traffic is not."""
        return [flow for flow in self.info.flows if flow.role == "measured"]

    def link(self, number: int | None) -> LinkInfo | None:
        """The link direction of that number, if the flow has one."""
        return next((link for link in self.info.links if link.link == number), None)

    def packets(self) -> Log:
        """packets.parquet; empty where the link backend keeps no packet log."""
        return logs.read(self.path / "packets.parquet", logs.PACKETS)

    def goodput(self) -> Log:
        """goodput.parquet."""
        return logs.read(self.path / "goodput.parquet", logs.GOODPUT)

    def tcpinfo(self) -> Log:
        """tcpinfo.parquet."""
        return logs.read(self.path / "tcpinfo.parquet", logs.TCPINFO)

    def frames(self) -> Log:
        """frames.parquet; only of cells with a video flow."""
        return logs.read(self.path / "frames.parquet", logs.FRAMES)

    def decisions(self) -> Log | None:
        """decisions.parquet, or None: no policy decided here."""
        path = self.path / "decisions.parquet"
        return logs.read(path, logs.DECISIONS) if path.exists() else None

    def events(self) -> Log | None:
        """events.parquet, or None: there was no agent."""
        path = self.path / "events.parquet"
        return logs.read(path, logs.EVENTS) if path.exists() else None


@dataclass
class Run:
    """A run folder: its manifest, the finished cells, and why the others are left out (folder name, reason)."""

    path: Path
    manifest: Manifest
    cells: list[Cell]
    skipped: list[tuple[str, str]]
    _traces: dict[str, Trace] = field(default_factory=dict, repr=False)

    def trace(self, link: LinkInfo | None) -> Trace | None:
        """The capacity of a link direction; None: unlimited. Raises AnalysisError."""
        return self._trace(link.trace) if link is not None and link.trace is not None else None

    @cached_property
    def trace_digest(self) -> str | None:
        """First 16 hexadecimal digits of the SHA-256 of the bottleneck trace's numbers: what cells pair by."""
        if self.manifest.trace is None:
            return None
        trace = self._trace(self.manifest.trace.file)
        columns = vars(trace.steps if trace.steps is not None else trace.opportunities)
        digest = hashlib.sha256(repr((trace.period_ns, sorted(columns))).encode())
        for name in sorted(columns):
            if columns[name] is not None:
                digest.update(np.ascontiguousarray(columns[name]).tobytes())
        return digest.hexdigest()[:16]

    def _trace(self, file: str) -> Trace:
        if file not in self._traces:
            path = self.path / file
            if not path.is_file():
                raise AnalysisError(f"{path}: the trace is missing; the run folder is incomplete")
            try:
                self._traces[file] = read_parquet(path)
            except (TraceError, OSError) as error:
                raise AnalysisError(f"{path}: cannot be read: {error}") from error
        return self._traces[file]


_T = TypeVar("_T", Manifest, CellInfo)


def _read_json(path: Path, model: type[_T]) -> _T:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnalysisError(f"{path}: missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AnalysisError(f"{path}: cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise AnalysisError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise AnalysisError(f"{path}: has schema {found}, this version of tbtest reads {SCHEMA}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise AnalysisError(f"{path}: {key}: {first['msg']}") from error


def _load_cell(path: Path) -> Cell:
    cell = Cell(path, _read_json(path / "cell.json", CellInfo))
    required = ["packets.parquet", "goodput.parquet", "tcpinfo.parquet"]
    if any(flow.kind == "video" for flow in cell.measured):
        required.append("frames.parquet")
    for name in required:
        if not (path / name).is_file():
            raise AnalysisError(f"{path / name}: missing")
    if not cell.measured:
        raise AnalysisError(f"{path / 'cell.json'}: flows: no measured flow")
    return cell


def load(path: Path) -> Run:
    """Read a run folder. Cells that did not finish, or are damaged, are listed in `skipped` with the reason.

    Raises AnalysisError where there is no run, or no finished cell in it.
    """
    if not path.is_dir():
        raise AnalysisError(f"{path}: no such run folder")
    if not (path / "manifest.json").exists():
        raise AnalysisError(f"{path}: not a run folder: it has no manifest.json")
    manifest = _read_json(path / "manifest.json", Manifest)
    cells: list[Cell] = []
    skipped: list[tuple[str, str]] = []
    for entry in manifest.cells:
        if entry.status != "done":
            skipped.append((entry.folder, entry.status))
            continue
        try:
            cells.append(_load_cell(path / "cells" / entry.folder))
        except AnalysisError as error:
            skipped.append((entry.folder, str(error)))
    run = Run(path, manifest, cells, skipped)
    if not cells:
        raise AnalysisError(
            f"{path}: no finished cell to report on: {describe_skipped(run) or 'none planned'}"
        )
    return run


def describe_skipped(run: Run) -> str:
    """The cells left out and why, in a line; empty if none."""
    return "; ".join(f"{name}: {reason}" for name, reason in run.skipped)
