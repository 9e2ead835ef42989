"""The agent's logs: acks, decisions and events, as Parquet files in the cell's folder (schemas in
docs/reference/design.md).

While the agent runs, each table is an Arrow stream (`<table>-<start>.arrows`), which stays readable
up to its last whole chunk if the agent is killed. `finish` turns all streams in the folder, those
of killed predecessors included, into one Parquet file per table, a chunk at a time.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from agent.layout import RECORD, Flag, Records, delivery_rate_bps, join

_i16, _i64, _u32, _u64, _f64 = pa.int16(), pa.int64(), pa.uint32(), pa.uint64(), pa.float64()
ACKS = pa.schema(
    [
        ("flow", _i16),
        ("generation", _u32),
        ("at_ns", _i64),
        ("rtt_ns", _i64),
        ("srtt_ns", _i64),
        ("min_rtt_ns", _i64),
        ("acked_bytes", _u64),
        ("delivered_bytes", _u64),
        ("lost_bytes", _u64),
        ("sent_bytes", _u64),
        ("inflight_bytes", _u64),
        ("delivered_packets", _u32),
        ("delivered_ce_packets", _u32),
        ("cwnd_packets", _u32),
        ("mss_bytes", _u32),
        ("pacing_rate_bps", _f64),
        ("delivery_rate_bps", _f64),
        ("app_limited", pa.bool_()),
        ("commanded", pa.bool_()),
    ]
)
DECISIONS = pa.schema(
    [
        ("flow", _i16),
        ("slot", _u32),
        ("generation", _u32),
        ("window", _i64),
        ("window_end_ns", _i64),
        ("close_ack_ns", _i64),
        ("received_ns", _i64),
        ("applied_ns", _i64),
        ("pacing_rate_bps", _f64),
        ("cwnd_packets", _f64),
        ("tier", pa.string()),
        ("queue_ns", _i64),
        ("compute_ns", _i64),
        ("deadline_missed", pa.bool_()),
        ("reasons", pa.uint8()),
    ]
)
EVENTS = pa.schema(
    [("at_ns", _i64), ("flow", _i16), ("event", pa.string()), ("detail", pa.string())]
)
_OPTIONAL = ("close_ack_ns", "received_ns")
ROW_GROUP = 65_536
SCHEMAS = {"acks": ACKS, "decisions": DECISIONS, "events": EVENTS}


def ack_rows(records: Records, flows: npt.NDArray[np.int16]) -> pa.RecordBatch:
    """Rows of `acks` from ACK records. records: RECORD[n]; flows: number of each record's flow."""
    rtt_us, rate = records["rtt_us"], delivery_rate_bps(records)
    mss = records["mss_bytes"].astype(np.uint64)
    columns: dict[str, Any] = {
        "flow": flows,
        "at_ns": records["at_ns"].astype(np.int64),
        "rtt_ns": pa.array(rtt_us.astype(np.int64) * 1000, mask=rtt_us < 0),
        "srtt_ns": records["srtt_us"].astype(np.int64) * 1000,
        "min_rtt_ns": records["min_rtt_us"].astype(np.int64) * 1000,
        "inflight_bytes": records["inflight_packets"] * mss,
        "pacing_rate_bps": records["pacing_rate_Bps"] * 8.0,
        "delivery_rate_bps": pa.array(rate, mask=np.isnan(rate)),
        "app_limited": (records["flags"] & Flag.APP_LIMITED) != 0,
        "commanded": (records["flags"] & Flag.COMMANDED) != 0,
    }
    arrays = [
        pa.array(columns[name] if name in columns else np.ascontiguousarray(records[name]))
        for name in ACKS.names
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ACKS)


class AgentLog:
    """Writes the three tables in chunks of `chunk_ns` of time; at most `chunk_rows` rows wait in
    memory.
    """

    def __init__(
        self,
        folder: Path,
        start_ns: int,
        *,
        chunk_ns: int = 1_000_000_000,
        chunk_rows: int = 65_536,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._chunk_ns, self._chunk_rows = chunk_ns, chunk_rows
        self._flushed_ns = start_ns
        self._acks: list[tuple[Records, npt.NDArray[np.int16]]] = []
        self._ack_rows = 0
        self._decisions: list[pa.RecordBatch] = []
        self._events: list[tuple[int, int, str, str]] = []
        # Unbuffered: what was written survives the process.
        self._files = {
            table: (folder / f"{table}-{start_ns}.arrows").open("wb", buffering=0)
            for table in SCHEMAS
        }
        # Arrow imports pandas at its first conversion: now, not when the first flow waits for an
        # answer.
        ack_rows(np.empty(0, RECORD), np.empty(0, np.int16))
        self._streams = {
            table: pa.ipc.new_stream(self._files[table], SCHEMAS[table]) for table in SCHEMAS
        }

    def acks(self, records: Records, flows: npt.NDArray[np.int16]) -> None:
        """Log ACK records; see `ack_rows`."""
        self._acks.append((records, flows))
        self._ack_rows += len(records)

    def decisions(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Log decisions: the columns of `DECISIONS`; a zero in close_ack_ns or received_ns says
        that there was none.
        """
        arrays = [
            pa.array(
                columns[field.name],
                field.type,
                mask=columns[field.name] == 0 if field.name in _OPTIONAL else None,
            )
            for field in DECISIONS
        ]
        self._decisions.append(pa.RecordBatch.from_arrays(arrays, schema=DECISIONS))

    def event(self, at_ns: int, flow: int, event: str, detail: str = "") -> None:
        """Log an event. flow: -1 where it concerns all."""
        self._events.append((at_ns, flow, event, detail))

    def flush(self, now_ns: int) -> None:
        """Write what waits, if it is time."""
        waiting = max(self._ack_rows, sum(map(len, self._decisions)), len(self._events))
        if waiting >= self._chunk_rows or now_ns - self._flushed_ns >= self._chunk_ns:
            self._flushed_ns = now_ns
            self._write()

    def _write(self) -> None:
        if self._acks:
            records, flows = zip(*self._acks, strict=True)
            self._streams["acks"].write_batch(ack_rows(join(records), np.concatenate(flows)))
            self._acks, self._ack_rows = [], 0
        if self._decisions:
            self._streams["decisions"].write_table(
                pa.Table.from_batches(self._decisions).combine_chunks()
            )
            self._decisions = []
        if self._events:
            columns = zip(*self._events, strict=True)
            arrays = [
                pa.array(column, field.type) for column, field in zip(columns, EVENTS, strict=True)
            ]
            self._streams["events"].write_batch(pa.RecordBatch.from_arrays(arrays, schema=EVENTS))
            self._events = []

    def close(self) -> None:
        """Write everything and make the Parquet files."""
        self._write()
        for table in SCHEMAS:
            self._streams[table].close()
            self._files[table].close()
        finish(self._folder)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Whole chunks of an Arrow stream; a chunk that a kill cut off ends it."""
    with pa.memory_map(str(path)) as source:
        try:
            yield from pa.ipc.open_stream(source)
        except (pa.ArrowInvalid, OSError):
            return


def _gathered(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Chunks of at least ROW_GROUP rows (but the last): a Parquet file of one-second chunks would
    be slow to read.
    """
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(each) for each in waiting) >= ROW_GROUP:
            yield pa.Table.from_batches(waiting, schema)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def finish(folder: Path) -> None:
    """Turn the streams in `folder` into `acks.parquet`, `decisions.parquet` and `events.parquet`,
    and remove them.

    Called by the agent as it ends, and by whoever finds streams that killed agents left.
    Idempotent.
    """
    for table, schema in SCHEMAS.items():
        streams = sorted(
            folder.glob(f"{table}-*.arrows"), key=lambda path: int(path.stem.rpartition("-")[2])
        )
        if not streams:
            continue
        target, partial = folder / f"{table}.parquet", folder / f"{table}.parquet.partial"
        earlier = pq.ParquetFile(target).iter_batches() if target.exists() else iter(())
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for table_chunk in _gathered(chain(earlier, *map(_batches, streams)), schema):
                writer.write_table(table_chunk)
        partial.rename(target)
        for path in streams:
            path.unlink()
