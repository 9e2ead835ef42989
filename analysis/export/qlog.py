"""A cell as qlog 0.3 (draft-ietf-quic-qlog-main-schema-03, JSON), for qvis: a trace per measured
flow.

What the bottleneck saw of the flow as packets sent, received and lost, numbered in order of
arrival, and the sender's cwnd and smoothed RTT as recovery metrics. TCP is written in QUIC's words,
as qvis knows no others.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from analysis.files import LOST, Verdict
from analysis.frames import log_names, read_frame
from analysis.run import Cell, Flow

_TRIGGERS = {
    Verdict.TAIL_DROP: "tail drop",
    Verdict.AQM_DROP: "AQM",
    Verdict.RANDOM_LOSS: "random",
    Verdict.POLICED: "policer",
}
Event = dict[str, Any]


def write(cell: Cell, path: Path) -> None:
    """Write the JSON. Raises AnalysisError, OSError."""
    whole = {
        "qlog_format": "JSON",
        "qlog_version": "0.3",
        "title": f"{cell.cc}, repeat {cell.repeat}",
        "traces": [_trace(cell, flow) for flow in cell.measured],
    }
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(json.dumps(whole, allow_nan=False), encoding="utf-8")
    draft.replace(path)


def _trace(cell: Cell, flow: Flow) -> dict[str, Any]:
    events = [*_packets(cell, flow), *_metrics(cell, flow)]
    return {
        "title": f"flow {flow.flow}, {flow.kind}",
        "vantage_point": {"name": "bottleneck", "type": "network", "flow": "client"},
        "common_fields": {
            "time_format": "relative",
            "reference_time": 0,
            "group_id": str(flow.flow),
        },
        "events": sorted(events, key=lambda event: event["time"]),
    }


def _packets(cell: Cell, flow: Flow) -> list[Event]:
    packets = read_frame(cell.folder, "packets", cell.start_ns)
    chosen = (packets["flow"] == flow.flow) & ~packets["ack"]
    own = packets[chosen & (packets["link"] == flow.bottleneck)]
    events = []
    rows: list[dict[Any, Any]] = own.to_dict("records")
    for number, row in enumerate(rows):
        data = {
            "header": {"packet_type": "1RTT", "packet_number": number},
            "raw": {"length": int(row["size_bytes"])},
        }
        events.append(_event(row["enqueue_s"], "transport:packet_sent", data))
        if row["verdict"] == Verdict.DELIVERED:
            events.append(_event(row["deliver_s"], "transport:packet_received", data))
        elif row["verdict"] in LOST:
            trigger = _TRIGGERS[Verdict(int(row["verdict"]))]
            lost = {"header": data["header"], "trigger": trigger}
            events.append(_event(row["enqueue_s"], "recovery:packet_lost", lost))
    return events


def _metrics(cell: Cell, flow: Flow) -> list[Event]:
    if "tcpinfo" not in log_names(cell.folder):
        return []
    info = read_frame(cell.folder, "tcpinfo", cell.start_ns)
    events = []
    rows: list[dict[Any, Any]] = info[info["flow"] == flow.flow].to_dict("records")
    for row in rows:
        data: dict[str, float] = {"smoothed_rtt": int(row["srtt_ns"]) / 1e6}
        if "cwnd_packets" in row and "mss_bytes" in row:
            data["congestion_window"] = int(row["cwnd_packets"]) * int(row["mss_bytes"])
        rate = row.get("pacing_rate_bps")
        if isinstance(rate, float) and math.isfinite(rate):
            data["pacing_rate"] = int(rate)
        events.append(_event(row["at_s"], "recovery:metrics_updated", data))
    return events


def _event(at_s: float, name: str, data: dict[str, Any]) -> Event:
    return {"time": round(float(at_s) * 1e3, 6), "name": name, "data": data}
