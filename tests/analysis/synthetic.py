"""Run folders made by hand: small, valid, and with answers that can be worked out on paper."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.run import Cell, Flow, load_run
from traces.model import Trace, constant
from traces.parquet import write_parquet

MS = 1_000_000
S = 1_000_000_000
START_NS = 5_000 * S  # some uptime, so that nothing works by starting at zero
OWD_NS = 20 * MS

PACKETS = pa.schema(
    [
        ("link", pa.uint8()),
        ("flow", pa.int16()),
        ("ack", pa.bool_()),
        ("enqueue_ns", pa.int64()),
        ("dequeue_ns", pa.int64()),
        ("deliver_ns", pa.int64()),
        ("size_bytes", pa.uint32()),
        ("queue_bytes", pa.uint32()),
        ("due_ns", pa.int64()),
        ("verdict", pa.uint8()),
    ]
)
GOODPUT = pa.schema([("flow", pa.int16()), ("at_ns", pa.int64()), ("received_bytes", pa.int64())])
TCPINFO = pa.schema(
    [
        ("flow", pa.int16()),
        ("at_ns", pa.int64()),
        ("srtt_ns", pa.int64()),
        ("app_limited", pa.bool_()),
        ("bytes_sent", pa.int64()),
        ("bytes_retrans", pa.int64()),
    ]
)
FRAMES = pa.schema(
    [
        ("flow", pa.int16()),
        ("frame", pa.int32()),
        ("keyframe", pa.bool_()),
        ("captured_ns", pa.int64()),
        ("size_bytes", pa.int64()),
        ("target_bps", pa.float64()),
        ("sent_ns", pa.int64()),
        ("completed_ns", pa.int64()),
        ("displayed_ns", pa.int64()),
    ]
)
DECISIONS = pa.schema(
    [
        ("flow", pa.int16()),
        ("slot", pa.int64()),
        ("generation", pa.int64()),
        ("window", pa.int64()),
        ("window_end_ns", pa.int64()),
        ("close_ack_ns", pa.int64()),
        ("received_ns", pa.int64()),
        ("applied_ns", pa.int64()),
        ("pacing_rate_bps", pa.float64()),
        ("cwnd_packets", pa.int64()),
        ("tier", pa.string()),
        ("queue_ns", pa.int64()),
        ("compute_ns", pa.int64()),
        ("deadline_missed", pa.bool_()),
        ("reasons", pa.uint8()),
    ]
)
ACKS = pa.schema(
    [
        ("flow", pa.int16()),
        ("at_ns", pa.int64()),
        ("delivered_bytes", pa.int64()),
        ("app_limited", pa.bool_()),
    ]
)
EVENTS = pa.schema(
    [("at_ns", pa.int64()), ("flow", pa.int16()), ("event", pa.string()), ("detail", pa.string())]
)
CHUNKS = pa.schema(
    [
        ("flow", pa.int16()),
        ("chunk", pa.int64()),
        ("level", pa.int64()),
        ("bitrate_kbps", pa.float64()),
        ("utility", pa.float64()),
        ("size_bytes", pa.int64()),
        ("request_ns", pa.int64()),
        ("first_byte_ns", pa.int64()),
        ("last_byte_ns", pa.int64()),
        ("buffer_s", pa.float64()),
        ("rebuffer_s", pa.float64()),
        ("throughput_bps", pa.float64()),
        ("source", pa.string()),
        ("decision_ns", pa.int64()),
    ]
)
SESSIONS = pa.schema(
    [
        ("flow", pa.int16()),
        ("abr", pa.string()),
        ("chunk_s", pa.float64()),
        ("stall_per_s", pa.float64()),
        ("switch", pa.float64()),
        ("start_ns", pa.int64()),
        ("started_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("ended", pa.string()),
        ("open_stall_s", pa.float64()),
    ]
)
_SCHEMAS = {
    "chunks": CHUNKS,
    "sessions": SESSIONS,
    "packets": PACKETS,
    "goodput": GOODPUT,
    "tcpinfo": TCPINFO,
    "frames": FRAMES,
    "decisions": DECISIONS,
    "acks": ACKS,
    "events": EVENTS,
}


def row(schema: pa.Schema, **values: Any) -> dict[str, Any]:
    """A row of ``schema``: what is not given is null, or zero where the name does not end in
    _ns.
    """
    unknown = set(values) - set(schema.names)
    assert not unknown, unknown
    defaults: dict[str, Any] = {
        item.name: None
        if item.name.endswith("_ns")
        else (False if pa.types.is_boolean(item.type) else 0)
        for item in schema
    }
    return {**defaults, **values}


def packet(
    enqueue_ms: float, queue_ms: float = 10, *, flow: int = 0, size: int = 1500, verdict: int = 0,
    link: int = 0, ack: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A packet that arrived so long after the start, waited so long, and then took the propagation
    delay.
    """
    enqueue_ns = START_NS + round(enqueue_ms * MS)
    dequeue_ns = enqueue_ns + round(queue_ms * MS) if verdict in (0, 3) else None
    return row(
        PACKETS,
        link=link,
        flow=flow,
        ack=ack,
        enqueue_ns=enqueue_ns,
        dequeue_ns=dequeue_ns,
        deliver_ns=dequeue_ns + OWD_NS if dequeue_ns is not None and verdict == 0 else None,
        due_ns=dequeue_ns,
        size_bytes=size,
        verdict=verdict,
    )


def frame(
    number: int,
    captured_ms: float,
    *,
    shown_ms: float | None,
    delay_ms: float = 50,
    size: int = 1000,
    flow: int = 0,
    sent: bool = True,
) -> dict[str, Any]:
    """A frame; ``shown_ms`` counts from the start, None: it never arrived."""
    captured_ns = START_NS + round(captured_ms * MS)
    arrived = sent and shown_ms is not None
    return row(
        FRAMES,
        flow=flow,
        frame=number,
        keyframe=number == 0,
        captured_ns=captured_ns,
        size_bytes=size,
        target_bps=1e6,
        sent_ns=captured_ns if sent else None,
        completed_ns=captured_ns + round(delay_ms * MS) if arrived else None,
        displayed_ns=START_NS + round(shown_ms * MS) if shown_ms is not None and arrived else None,
    )


def steady_packets(
    rate_mbps: float, duration_s: float, queue_ms: float, flow: int = 0
) -> list[dict[str, Any]]:
    """Full packets at even spacing that leave within the duration, all with the same queueing
    delay.
    """
    spacing_ms = 1500 * 8 / rate_mbps / 1000
    count = int((duration_s * 1000 - queue_ms) / spacing_ms)
    return [packet(number * spacing_ms, queue_ms, flow=flow) for number in range(count)]


@dataclass
class SyntheticCell:
    """What one cell logged. ``logs``: name -> rows; a log set to None is not written at all."""

    cc: str = "bbr"
    repeat: int = 0
    seed: int = 11
    status: str = "done"
    duration_s: float = 1.0
    flows: Sequence[Mapping[str, Any]] = ({},)
    logs: dict[str, list[dict[str, Any]] | None] = field(default_factory=dict)
    link: Mapping[str, Any] = field(default_factory=dict)
    cpu: Sequence[Mapping[str, float]] = ()
    warnings: Sequence[str] = ()
    agent: Mapping[str, Any] | None = None
    folder: str = ""
    abr: str = ""
    abr_checkpoint: str = ""

    def entry(self, index: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """A flow of cell.json."""
        return {
            "flow": index,
            "kind": "bulk",
            "role": "measured",
            "cc": self.cc,
            "sender": f"s{index + 1}",
            "receiver": f"d{index + 1}",
            "start_ns": START_NS,
            "stop_ns": START_NS + round(self.duration_s * S),
            "base_owd_ns": OWD_NS,
            "base_rtt_ns": 2 * OWD_NS,
            "bottleneck": 0,
            "options": {},
            **changes,
        }

    def links(self, trace: str) -> list[dict[str, Any]]:
        """Both directions of the bottleneck, for cell.json."""
        common = {
            "name": "bottleneck",
            "backend": "relay",
            "per_packet": True,
            "environment": {},
            "cpu_s": 0.1,
            "warnings": [],
            "delay_ns": OWD_NS,
            "jitter_ns": 0,
            "queue": "droptail",
            "limit_bytes": 60_000,
            "loss": "none",
            "seed": 1,
            "step_lateness_ns": {"p50": 20_000.0, "p99": 80_000.0},
            "delay_error_ns": {"p50": 20_000.0, "p99": 80_000.0},
            "rate_error": [0.0, 0.0],
        }
        forward = {
            **common,
            "link": 0,
            "direction": "forward",
            "bottleneck": True,
            "trace": trace,
            **self.link,
        }
        reverse = {**common, "link": 1, "direction": "reverse", "bottleneck": False, "trace": None}
        return [forward, reverse]


SCENARIO: dict[str, Any] = {
    "topology": "dumbbell",
    "cc": ["bbr", "cubic"],
    "trace": None,
    "rate": "12mbit",
    "flow": "bulk",
    "flows": 1,
    "rtt": "40ms",
    "buffer": "2bdp",
    "queue": "droptail",
    "duration": "1s",
    "repeats": 1,
    "seed": 1,
    "policy": {},
    "policy_server": None,
}


def write_run(
    folder: Path,
    cells: Sequence[SyntheticCell],
    *,
    trace: Trace | None = None,
    scenario: Mapping[str, Any] | None = None,
    run_id: str = "20260101T000000-abcdef",
) -> Path:
    """Write a run folder as `tbtest run` does; returns it."""
    trace = trace or constant(12e6)
    (folder / "traces").mkdir(parents=True)
    write_parquet(trace, folder / "traces" / f"{trace.name}.parquet")
    entries = []
    for index, cell in enumerate(cells):
        name = cell.folder or f"{index:03d}-{cell.cc.replace(':', '.')}{cell.abr}-r{cell.repeat}"
        entries.append(
            {
                "folder": name,
                "cc": cell.cc,
                "repeat": cell.repeat,
                "seed": cell.seed,
                "status": cell.status,
            }
        )
        if cell.status == "done":
            _write_cell(folder / "cells" / name, index, cell, f"traces/{trace.name}.parquet")
    manifest = {
        "schema": 1,
        "run_id": run_id,
        "status": "done",
        "scenario": {**SCENARIO, **(scenario or {})},
        "trace": {"name": trace.name, "file": f"traces/{trace.name}.parquet"},
        "buffer_bytes": 60_000,
        "link_backend": "relay",
        "environment": {"kernel": "6.1.0", "cpu_count": 2},
        "cells": entries,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def _write_cell(folder: Path, index: int, cell: SyntheticCell, trace: str) -> None:
    folder.mkdir(parents=True)
    data = {
        "schema": 1,
        "index": index,
        "cc": cell.cc,
        "abr": cell.abr,
        "abr_checkpoint": cell.abr_checkpoint,
        "repeat": cell.repeat,
        "seed": cell.seed,
        "status": cell.status,
        "start_ns": START_NS,
        "stop_ns": START_NS + round(cell.duration_s * S),
        "tcp_congestion": cell.cc,
        "flows": [cell.entry(number, changes) for number, changes in enumerate(cell.flows)],
        "links": cell.links(trace),
        "cpu": {"samples": list(cell.cpu)},
        "environment": {},
        "idle_rtt_ns": [2 * OWD_NS],
        "agent": cell.agent,
        "warnings": list(cell.warnings),
    }
    (folder / "cell.json").write_text(json.dumps(data), encoding="utf-8")
    logs: dict[str, list[dict[str, Any]] | None] = {
        "packets": [],
        "goodput": [],
        "tcpinfo": [],
        **cell.logs,
    }
    if any(flow["kind"] == "video" for flow in data["flows"]):
        logs.setdefault("frames", [])
    for name, rows in logs.items():
        if rows is not None:
            pq.write_table(
                pa.Table.from_pylist(rows, schema=_SCHEMAS[name]), folder / f"{name}.parquet"
            )


def received(total_bytes: int, at_s: float = 1.0, flow: int = 0) -> dict[str, Any]:
    """A row of goodput.parquet."""
    return row(GOODPUT, flow=flow, at_ns=START_NS + round(at_s * S), received_bytes=total_bytes)


def bulk_cell(
    cc: str, rate_mbps: float, queue_ms: float, *, repeat: int = 0, seed: int = 11
) -> SyntheticCell:
    """A cell of 1 s with a steady rate and a steady queueing delay."""
    packets = steady_packets(rate_mbps, 1.0, queue_ms)
    total_bytes = round(rate_mbps * 1e6 / 8)
    return SyntheticCell(
        cc=cc,
        repeat=repeat,
        seed=seed,
        logs={
            "packets": packets,
            "goodput": [received(0, 0.0), received(total_bytes)],
            "tcpinfo": [
                row(TCPINFO, at_ns=START_NS, srtt_ns=0),
                row(
                    TCPINFO,
                    at_ns=START_NS + S,
                    srtt_ns=40 * MS,
                    bytes_sent=total_bytes,
                    bytes_retrans=0,
                ),
            ],
        },
    )


def load_cell(tmp_path: Path, cell: SyntheticCell, trace: Trace | None = None) -> tuple[Cell, Flow]:
    """The only cell of a run with it, and its first flow, as the analysis sees them."""
    loaded = load_run(write_run(tmp_path / "run", [cell], trace=trace)).cells[0]
    return loaded, loaded.flows[0]
