"""Logs of dash traffic: chunks and session of the player, requests of the server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from testbed.traffic.base import FlowSpec
from testbed.traffic.dash.cmcd import Cmcd
from testbed.traffic.records import RecordLog


@dataclass(frozen=True)
class Chunk:
    """A row of chunks.parquet. Times are CLOCK_MONOTONIC.

    buffer_s: after it arrived; rebuffer_s: the stall that it ended; source: who chose its level
    (start, rule, policy, fallback or dash.js), which took decision_ns.
    """

    flow: int
    chunk: int
    level: int
    bitrate_kbps: float
    utility: float
    size_bytes: int
    request_ns: int
    first_byte_ns: int
    last_byte_ns: int
    buffer_s: float
    rebuffer_s: float
    throughput_bps: float
    source: str
    decision_ns: int


@dataclass(frozen=True)
class Session:
    """The row of sessions.parquet.

    started_ns: when the picture first moved (headless: the first chunk was there), null before;
    ended: over (the whole video arrived), stopped, or server-gone; open_stall_s: a stall that no
    chunk ended; stall_per_s and switch: what a second of stall and a step of utility cost.
    """

    flow: int
    abr: str
    player: str
    video: str
    chunks: int
    chunk_s: float
    stall_per_s: float
    switch: float
    start_ns: int
    started_ns: int | None
    end_ns: int
    ended: str
    open_stall_s: float


_TYPES = {
    "int": pa.int64(),
    "int | None": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
}


def _schema(row: type[Chunk] | type[Session]) -> pa.Schema:
    return pa.schema(
        [
            (field.name, pa.int16() if field.name == "flow" else _TYPES[str(field.type)])
            for field in fields(row)
        ]
    )


class SessionLog:
    """chunks-<flow>.parquet and sessions-<flow>.parquet, whole at any time: a player that is killed
    leaves what it had. `add` is called by the player's thread, `write` by the one that watches.
    """

    def __init__(self, spec: FlowSpec) -> None:
        self._folder, self._flow = spec.log_dir, spec.flow
        self._lock = threading.Lock()
        self._chunks: list[Chunk] = []
        self._stalls: list[tuple[int, float]] = []
        self._session: Session | None = None
        self._written = False
        _write(self._path("chunks"), _schema(Chunk), [])

    def add(self, session: Session, chunk: Chunk | None = None) -> None:
        """A chunk arrived, or the session ended; the session stands thus now."""
        with self._lock:
            self._session, self._written = session, False
            if chunk is not None:
                self._chunks.append(chunk)

    def stalled(self, end_ns: int, stall_s: float) -> None:
        """A stall that the player tells beside the chunks ended."""
        with self._lock:
            self._stalls.append((end_ns, stall_s))
            self._written = False

    def write(self) -> None:
        """Write both files if there is something new. Raises OSError when the disk is full."""
        with self._lock:
            if self._written or self._session is None:
                return
            chunks, session = with_stalls(self._chunks, self._stalls), self._session
            self._written = True
        _write(self._path("chunks"), _schema(Chunk), chunks)
        _write(self._path("sessions"), _schema(Session), [session])

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}-{self._flow}.parquet"


def with_stalls(chunks: Sequence[Chunk], stalls: Sequence[tuple[int, float]]) -> list[Chunk]:
    """Each stall (when it ended, how long it was) goes to the last chunk that was there by then, at
    the earliest to the second one.
    """
    found = list(chunks)
    for end_ns, stall_s in stalls:
        index = sum(chunk.last_byte_ns <= end_ns for chunk in chunks) - 1
        if index >= 1:
            longer_s = found[index].rebuffer_s + stall_s
            found[index] = replace(found[index], rebuffer_s=longer_s)
    return found


def _write(path: Path, schema: pa.Schema, rows: list[Chunk] | list[Session]) -> None:
    records = [dict(zip(schema.names, astuple(row), strict=True)) for row in rows]
    part = path.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist(records, schema), part)
    part.replace(path)


class RequestLog:
    """requests-<flow>.parquet of the server: one row per chunk asked for, with the player's
    CMCD.
    """

    def __init__(self, spec: FlowSpec) -> None:
        self._flow = spec.flow
        told = [f"cmcd_{field.name}" for field in fields(Cmcd)]
        columns = dict.fromkeys(("at_ns", "port", "level", "chunk", "size_bytes", *told), "q")
        self._log = RecordLog(
            spec.log_dir / f"requests-{spec.flow}.parquet", {"flow": "i", **columns}, tuple(told)
        )

    def append(
        self, at_ns: int, port: int, level: int, chunk: int, size_bytes: int, told: Cmcd | None
    ) -> None:
        """A request that came at ``at_ns`` from the player's ``port``."""
        values = astuple(told or Cmcd())
        self._log.append(self._flow, at_ns, port, level, chunk, size_bytes, *values)

    def write(self) -> None:
        """Write the file."""
        self._log.write_parquet()
