"""The contract of a run folder: names of files, verdict codes, schema numbers, and the typed
records of manifest.json and cell.json with their readers and writers.

`tbtest run` writes through these records and the analysis reads through them. What each key means
stands in docs/reference/formats.md. The logs' columns are in `analysis.logs`.
"""

from __future__ import annotations

import hashlib
import json
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from analysis.errors import AnalysisError
from traces.model import Trace

SCHEMA: Literal[1] = 1
"""Of manifest.json and cell.json."""
MANIFEST, CELL = "manifest.json", "cell.json"
METRICS, REPORT = "metrics.json", "report.html"
CELLS, TRACES, INPUTS = "cells", "traces", "inputs"
IPV6_PREFIX = 0xFD74_6274_6573_7400 << 64
"""Of every host's IPv6 address (RFC 4193); packet logs hold the last 32 bits."""
_MAX_BYTES = 256 * 2**20  # of a JSON file
_MAX_DURATION_NS = 7 * 24 * 3600 * 10**9


class Verdict(IntEnum):
    """What became of a packet at a link: the column `verdict` of packets.parquet."""

    DELIVERED = 0
    TAIL_DROP = 1
    AQM_DROP = 2
    RANDOM_LOSS = 3
    IN_QUEUE = 4
    DUPLICATE = 5
    POLICED = 6


LOST = (Verdict.TAIL_DROP, Verdict.AQM_DROP, Verdict.RANDOM_LOSS, Verdict.POLICED)

Time = Annotated[int, Field(ge=-(2**62), le=2**62)]
Duration = Annotated[int, Field(ge=0, le=_MAX_DURATION_NS)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
FolderName = Annotated[str, Field(pattern=r"^[^/\x00]{1,255}$")]
TracePath = Annotated[str, Field(pattern=r"^traces/[^/\x00]{1,250}\.parquet$")]


class Record(BaseModel):
    """A part of a JSON file. Keys that this version does not know are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Spread(Record):
    """Median and 99th percentile of a quantity, in ns."""

    p50: Finite
    p99: Finite


class FlowRecord(Record):
    """One flow of a cell; times are CLOCK_MONOTONIC."""

    flow: int = Field(ge=0, le=32767)
    kind: str
    role: Literal["measured", "cross"]
    start_ns: Time
    stop_ns: Time
    base_owd_ns: Duration
    base_rtt_ns: Duration
    bottleneck: int | None
    options: dict[str, Any] = Field(default_factory=dict)
    cc: str = ""
    sender: str = ""
    receiver: str = ""
    carried_bytes: dict[str, int] | None = None

    @model_validator(mode="after")
    def _lasts(self) -> FlowRecord:
        if not 0 < self.stop_ns - self.start_ns <= _MAX_DURATION_NS:
            raise ValueError("stop_ns must be after start_ns, by at most seven days")
        return self

    @property
    def duration_ns(self) -> int:
        """Length of the flow."""
        return self.stop_ns - self.start_ns


class LinkEntry(Record):
    """One emulated link in one direction, with its account of itself."""

    link: int = Field(ge=0, le=255)
    bottleneck: bool
    trace: TracePath | None
    queue_options: dict[str, Any] = Field(default_factory=dict)
    delay_ns: Duration
    rate_error: list[Finite]
    delay_error_ns: Spread | None
    step_lateness_ns: Spread | None
    name: str = ""
    direction: Literal["forward", "reverse"] = "forward"
    backend: str = ""
    per_packet: bool = True
    jitter_ns: Duration = 0
    queue: str = ""
    limit_bytes: int | None = None
    loss: str = ""
    seed: int = 0
    environment: dict[str, Any] = Field(default_factory=dict)
    cpu_s: Finite = 0.0
    warnings: list[str] = Field(default_factory=list)


class CpuSample(Record):
    """Shares of all cores' time."""

    busy: Finite
    steal: Finite
    softirq: Finite = 0.0
    at_ns: Time = 0


class Cpu(Record):
    """How busy the machine was."""

    samples: list[CpuSample] = Field(default_factory=list)


class FailureEvent(Record):
    """Something that the scenario's `failures` broke or mended; at_ns: after the cell's start."""

    at_ns: Duration
    kind: str
    breaks: bool
    what: str = ""


class CellRecord(Record):
    """cell.json."""

    schema_: Literal[1] = Field(1, alias="schema")
    index: int = 0
    cc: str = Field(min_length=1, max_length=1000)
    abr: str = Field("", max_length=1000)
    abr_checkpoint: str = Field("", max_length=1000)
    scheduler: str = Field("", max_length=1000)
    repeat: int = Field(ge=0, le=2**31)
    seed: int = Field(ge=0, le=2**63)
    status: Literal["done"] = "done"
    start_ns: Time
    stop_ns: Time
    flows: list[FlowRecord]
    links: list[LinkEntry]
    cpu: Cpu = Cpu()
    tcp_congestion: str = ""
    environment: dict[str, Any] = Field(default_factory=dict)
    idle_rtt_ns: list[int | None] = Field(default_factory=list)
    agent: dict[str, Any] | None = None
    failures: list[FailureEvent] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _lasts(self) -> CellRecord:
        if not 0 < self.stop_ns - self.start_ns <= _MAX_DURATION_NS:
            raise ValueError("stop_ns must be after start_ns, by at most seven days")
        numbers = [flow.flow for flow in self.flows]
        if len(set(numbers)) != len(numbers):
            raise ValueError("flows: two have the same number")
        return self

    @property
    def checkpoints(self) -> dict[str, str]:
        """Tier -> what identifies the checkpoint that could answer, as the agent was told. Empty
        without a policy, and for runs written before agents said so.
        """
        said = (self.agent or {}).get("checkpoints")
        known = said if isinstance(said, dict) else {}
        return {str(tier): str(identity) for tier, identity in known.items()}


class CellEntry(Record):
    """A cell in the manifest."""

    folder: FolderName
    cc: str = ""
    abr: str = ""
    scheduler: str = ""
    repeat: int = 0
    seed: int = 0
    status: str

    @model_validator(mode="after")
    def _inside(self) -> CellEntry:
        if self.folder in (".", ".."):
            raise ValueError(f"folder: {self.folder!r} is no cell's folder")
        return self


class TraceEntry(Record):
    """The bottleneck's capacity. sha256: of what the trace holds (`trace_sha256`); runs
    written before this key lack it."""

    name: str
    file: TracePath | None = None
    sha256: str | None = None


class Manifest(Record):
    """manifest.json. checkpoints: tier -> what identifies the checkpoint, of all cells; several,
    with spaces between, where it has changed.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    run_id: str | None = None
    status: str = ""
    scenario: dict[str, Any]
    trace: TraceEntry
    reverse_trace: TraceEntry | None = None
    buffer_bytes: int | None = None
    link_backend: str = ""
    environment: dict[str, Any]
    checkpoints: dict[str, str] = Field(default_factory=dict)
    cells: list[CellEntry]


def trace_sha256(trace: Trace) -> str:
    """SHA-256 of what a trace replays: its form, period and numbers, whatever its name."""
    form = trace.steps if trace.steps is not None else trace.opportunities
    digest = hashlib.sha256(f"{type(form).__name__} {trace.period_ns}".encode())
    for key, column in sorted(vars(form).items()):
        if column is not None:
            digest.update(f" {key} {column.dtype} {len(column)} ".encode())
            digest.update(column.tobytes())
    return digest.hexdigest()


def to_json(record: Record) -> dict[str, Any]:
    """What is written of a manifest or a cell: the keys of the file, in order."""
    return record.model_dump(mode="json", by_alias=True)


def read_manifest(folder: Path) -> Manifest:
    """manifest.json of a run folder. Raises AnalysisError."""
    return _read(folder / MANIFEST, Manifest)


def read_cell(folder: Path) -> CellRecord:
    """cell.json of a cell's folder. Raises AnalysisError."""
    return _read(folder / CELL, CellRecord)


_R = TypeVar("_R", bound=Record)


def _read(path: Path, kind: type[_R]) -> _R:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise AnalysisError(f"{path}: larger than {_MAX_BYTES >> 20} MiB; is it a run's file?")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AnalysisError(f"{path}: missing; is this a run folder?") from error
    except (OSError, ValueError, RecursionError) as error:
        raise AnalysisError(f"{path}: cannot be read: {_line(error)}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else None
        raise AnalysisError(f"{path}: schema {found!r}, this version reads {SCHEMA}")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = _line(first["msg"].removeprefix("Value error, "))
        raise AnalysisError(
            f"{path}: {f'key {key!r}: ' if key else ''}{message}; restore the file or run again"
        ) from None


def _line(text: object) -> str:
    return " ".join(str(text).split())
