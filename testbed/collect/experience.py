"""From a finished cell to rows of the experience dataset (`policy.tasks.congestion.schema`):
windows, labels, rewards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from policy.tasks.congestion import labels
from policy.tasks.congestion.fields import FIELDS, F
from policy.tasks.congestion.labels import CapacityIntegral, Reward, Target
from policy.tasks.congestion.schema import SCHEMA
from testbed.collect.packets import BottleneckLog, largest_packet_bytes, upstream_delay_ns
from testbed.collect.windows import FlowWindows, fold_flow, opened_ns
from traces.model import Trace
from traces.parquet import read_parquet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_STEP_NS = 1_000_000  # of the capacity integral: the resolution of delivery opportunities
UNPACED = ("observe:cubic", "observe:aimd")
"""Behaviours that ask for no rate: their cwnd decides, so that what they sent is the action."""


def run_columns(
    run: Path, about: Mapping[str, str], target: Target, reward: Reward
) -> dict[str, Any]:
    """The rows of all cells of a finished run. about: source_trace, family, split and run.

    Raises OSError or KeyError where the folder is not that of a finished run with ACK records.
    """
    parts = [
        columns
        for folder in sorted((run / "cells").iterdir())
        for columns in cell_columns(run, folder, about, target, reward)
    ]
    return {
        name: np.concatenate([part[name] for part in parts]) if parts else []
        for name in SCHEMA.names
    }


def cell_columns(
    run: Path, folder: Path, about: Mapping[str, str], target: Target, reward: Reward
) -> Iterator[dict[str, Any]]:
    """The rows of each flow of a cell that the agent recorded."""
    cell = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    acks = pq.read_table(folder / "acks.parquet")
    opened = opened_ns(pq.read_table(folder / "events.parquet"))
    packets = pq.read_table(folder / "packets.parquet")
    flows = {flow["flow"]: flow for flow in cell["flows"]}
    for (number, generation), open_ns in sorted(opened.items()):
        flow = flows.get(number)
        if flow is None or flow["bottleneck"] is None:
            continue
        own = acks.filter(
            pc.and_(pc.equal(acks["flow"], number), pc.equal(acks["generation"], generation))
        )
        windows = fold_flow(own, open_ns, flow["stop_ns"], target.window_ns)
        if (columns := _flow_columns(run, cell, flow, packets, windows, target, reward)) is None:
            continue
        count = len(columns["window"])
        names = {
            **about,
            "cell": folder.name,
            "cc": cell["cc"],
            "episode": f"{about['run']}/{folder.name}/{number}.{generation}",
        }
        yield {**{key: np.full(count, value) for key, value in names.items()}, **columns}


def _flow_columns(
    run: Path,
    cell: Mapping[str, Any],
    flow: Mapping[str, Any],
    packets: pa.Table,
    windows: FlowWindows,
    target: Target,
    reward: Reward,
) -> dict[str, Any] | None:
    """Columns of one flow but its names; None if it has no two windows with estimates.

    Windows before the first bandwidth and RTT estimates are left out, as there is nothing yet to
    relate an action to, and so is the last window, whose action shows in no later one.
    """
    rows, end_ns = windows.rows, windows.end_ns
    known = np.flatnonzero((rows[:, F["bandwidth_bps"]] > 0) & (rows[:, F["min_rtt_ns"]] > 0))
    packet_bytes = largest_packet_bytes(packets, flow["flow"])
    if not len(known) or len(rows) - known[0] < 2 or packet_bytes is None:
        return None
    rows, end_ns, mss = rows[known[0] :], end_ns[known[0] :], windows.mss_bytes[known[0] :]

    link = flow["bottleneck"]
    trace = read_parquet(
        run / next(each["trace"] for each in cell["links"] if each["link"] == link)
    )
    # Senders count payload, links count IP packets: capacity and queue are taken in payload.
    payload = float(np.median(mss)) / packet_bytes
    capacity = capacity_integral(trace, cell["start_ns"], cell["stop_ns"] + 10 * 10**9, payload)
    bottleneck = BottleneckLog(packets, link)
    delay_ns = upstream_delay_ns(
        packets, flow["flow"], link, {each["link"]: each["delay_ns"] for each in cell["links"]}
    )
    queue = bottleneck.queue_bytes(end_ns) * payload
    rate = labels.near_optimal_rate_bps(
        end_ns,
        capacity,
        queue_bytes=queue,
        committed_bytes=bottleneck.arriving_bytes(end_ns, end_ns + delay_ns) * payload,
        forward_delay_ns=delay_ns,
        rtt_ns=flow["base_rtt_ns"],
        share=fair_share(cell["flows"], link, end_ns),
        target=target,
    )
    horizon_ns = max(target.horizon_windows * target.window_ns, flow["base_rtt_ns"])
    arrive_ns = end_ns + delay_ns
    value = _rewards(
        rows, end_ns, capacity, cell["flows"], link, flow["base_rtt_ns"] - delay_ns, reward
    )
    bandwidth = rows[:, F["bandwidth_bps"]]
    columns = {
        "window": np.arange(len(rows)),
        "end_ns": end_ns,
        **{name: rows[:, F[name]] for name in FIELDS},
        "mss_bytes": mss,
        "taken_log2": taken_log2(rows, cell["cc"]),
        "near_optimal_bps": rate,
        "near_optimal_log2": labels.action_log2(rate, bandwidth),
        "reward": value,
        "return_to_go": labels.returns_to_go(value),
        "queue_bytes": queue,
        "capacity_bps": capacity.between(arrive_ns, arrive_ns + horizon_ns) * 8e9 / horizon_ns,
        "gcc_bps": windows.gcc_bps[known[0] :],
    }
    return {name: column[:-1] for name, column in columns.items()}


def taken_log2(rows: Floats, cc: str) -> Floats:
    """The action chosen at each window's end, read off the window after it; that of the last is not
    known (0).
    """
    asked = rows[1:, F["send_rate_bps" if cc in UNPACED else "asked_rate_bps"]]
    return np.append(labels.action_log2(asked, rows[:-1, F["bandwidth_bps"]]), 0.0)


def _rewards(
    rows: Floats,
    end_ns: Ints,
    capacity: CapacityIntegral,
    flows: list[dict[str, Any]],
    link: int,
    echo_ns: int,
    weights: Reward,
) -> Floats:
    """Rewards of the windows. echo_ns: from leaving the bottleneck until the ACK is heard, without
    queues.
    """
    duration = rows[:, F["duration_ns"]]
    left_ns = end_ns - echo_ns
    due = capacity.between(left_ns - duration, left_ns) * fair_share(flows, link, left_ns)
    return labels.rewards(
        rows[:, F["delivery_rate_bps"]] * duration / 8e9,
        due,
        rows[:, F["queueing_delay_ns"]],
        rows[:, F["min_rtt_ns"]],
        rows[:, F["loss_rate"]],
        weights,
    )


def capacity_integral(
    trace: Trace, zero_ns: int, until_ns: int, payload: float
) -> CapacityIntegral:
    """The trace's bytes times `payload`, its time zero at zero_ns."""
    at_ns = np.arange(0, until_ns - zero_ns + _STEP_NS, _STEP_NS, dtype=np.int64)
    return CapacityIntegral(zero_ns + at_ns, trace.capacity_bytes(0, at_ns) * payload)


def fair_share(flows: list[dict[str, Any]], link: int, at_ns: Ints) -> Floats:
    """One over the number of flows that are on the link at each time, cross traffic included."""
    active = np.zeros(len(at_ns))
    for flow in flows:
        if flow["bottleneck"] == link:
            active += (flow["start_ns"] <= at_ns) & (at_ns < flow["stop_ns"])
    return 1.0 / np.maximum(active, 1.0)
