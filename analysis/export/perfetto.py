"""A cell as a trace that ui.perfetto.dev and chrome://tracing open (Trace Event Format, JSON).

A process per flow with counters: rate and queueing delay at the bottleneck, cwnd, pacing rate and
smoothed RTT of the sender; losses, marks and a policy's decisions are instants. A process of its
own holds the links' backlog. Time zero is the cell's start.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.files import LOST, Verdict
from analysis.frames import log_names, read_frame
from analysis.run import Cell

_STEP_NS = 10_000_000
_LINKS = 100_000  # process number of the links; flows have their own numbers
Event = dict[str, Any]


def write(cell: Cell, path: Path) -> None:
    """Write the JSON. Raises AnalysisError, OSError."""
    draft = path.with_name(path.name + ".tmp")
    with draft.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit":"ms","traceEvents":[\n')
        for number, event in enumerate(_events(cell)):
            file.write((",\n" if number else "") + json.dumps(event, allow_nan=False))
        file.write("\n]}\n")
    draft.replace(path)


def _events(cell: Cell) -> Iterator[Event]:
    there = log_names(cell.folder)
    packets = read_frame(cell.folder, "packets", cell.start_ns)
    yield _named(_LINKS, "links")
    for link, own in packets.groupby("link"):
        yield from _counter(_LINKS, f"link {link} backlog", "bytes", own, "enqueue_ns", cell)
    for flow in cell.flows:
        yield _named(flow.flow, f"flow {flow.flow}: {cell.cc}, {flow.kind}, {flow.role}")
        chosen = (packets["flow"] == flow.flow) & ~packets["ack"]
        own = packets[chosen & (packets["link"] == flow.bottleneck)]
        yield from _at_the_bottleneck(flow.flow, own, cell)
        if "tcpinfo" in there:
            info = read_frame(cell.folder, "tcpinfo", cell.start_ns)
            yield from _sender(flow.flow, info[info["flow"] == flow.flow], cell)
        if "decisions" in there:
            decisions = read_frame(cell.folder, "decisions", cell.start_ns)
            yield from _decisions(flow.flow, decisions[decisions["flow"] == flow.flow], cell)


def _at_the_bottleneck(flow: int, packets: pd.DataFrame, cell: Cell) -> Iterator[Event]:
    sent = packets[packets["verdict"] == Verdict.DELIVERED]
    left_ns = sent["dequeue_ns"].to_numpy(np.int64)
    steps = (left_ns - cell.start_ns) // _STEP_NS
    wait_ms = (left_ns - sent["enqueue_ns"].to_numpy(np.int64)) / 1e6
    table = pd.DataFrame({"step": steps, "bytes": sent["size_bytes"], "wait_ms": wait_ms})
    for step, row in table.groupby("step").agg({"bytes": "sum", "wait_ms": "max"}).iterrows():
        at_us = int(step) * _STEP_NS / 1000  # type: ignore[call-overload]
        yield _count(flow, "rate", at_us, "Mbit/s", float(row["bytes"]) * 8e3 / _STEP_NS)
        yield _count(flow, "queueing delay", at_us, "ms", float(row["wait_ms"]))
    lost = packets[packets["verdict"].isin([int(verdict) for verdict in LOST])]
    for at_ns, verdict in zip(lost["enqueue_ns"], lost["verdict"], strict=True):
        yield _instant(flow, Verdict(int(verdict)).name.lower().replace("_", " "), at_ns, cell)
    if "marked" in packets:
        for at_ns in packets.loc[packets["marked"], "enqueue_ns"]:
            yield _instant(flow, "marked CE", at_ns, cell)


def _sender(flow: int, info: pd.DataFrame, cell: Cell) -> Iterator[Event]:
    for column, name, unit, scale in (
        ("cwnd_packets", "cwnd", "packets", 1.0),
        ("pacing_rate_bps", "pacing rate", "Mbit/s", 1e-6),
        ("srtt_ns", "smoothed RTT", "ms", 1e-6),
    ):
        if column in info:
            yield from _counter(flow, name, unit, info, "at_ns", cell, column, scale)


def _decisions(flow: int, decisions: pd.DataFrame, cell: Cell) -> Iterator[Event]:
    applied = decisions[decisions["applied_ns"].notna()]
    for at_ns, tier in zip(applied["applied_ns"], applied["tier"], strict=True):
        yield _instant(flow, f"decision by {tier}", at_ns, cell)


def _counter(
    process: int, name: str, unit: str, rows: pd.DataFrame, time: str, cell: Cell,
    column: str = "queue_bytes", scale: float = 1.0,
) -> Iterator[Event]:  # fmt: skip
    """At most one value per step, the last."""
    known = rows[rows[column].notna()]
    steps = (known[time].to_numpy(np.int64) - cell.start_ns) // _STEP_NS
    last = np.append(steps[1:] != steps[:-1], True) if len(steps) else np.empty(0, bool)
    kept = known[last]
    for at_ns, value in zip(kept[time], kept[column], strict=True):
        if math.isfinite(value):
            yield _count(process, name, (at_ns - cell.start_ns) / 1e3, unit, float(value) * scale)


def _count(process: int, name: str, at_us: float, unit: str, value: float) -> Event:
    return {"ph": "C", "pid": process, "name": name, "ts": at_us, "args": {unit: value}}


def _instant(process: int, name: str, at_ns: int, cell: Cell) -> Event:
    at_us = (int(at_ns) - cell.start_ns) / 1e3
    return {"ph": "i", "s": "p", "pid": process, "tid": 0, "name": name, "ts": at_us}


def _named(process: int, name: str) -> Event:
    return {"ph": "M", "pid": process, "name": "process_name", "args": {"name": name}}
