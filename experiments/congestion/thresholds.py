"""The APC thresholds in the closed loop: how often the LLM is asked, and what that does to
video.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

import traces
from analysis.statistics import paired_difference_ci95
from experiments.congestion.output import markdown, new_figure, number, save_figure
from policy.api import Actions, FlowBatch, Policy, PolicyContext
from policy.registry import DEFAULT_LIGHT, create
from policy.scheduler.rules import RuleScheduler
from policy.scheduler.thresholds import ApcConfig
from policy.tasks.congestion.simulator import Links, PolicyController, Video, simulate

FACTORS: tuple[float | str, ...] = ("always", 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, "never")
TRACES = ("lte-driving", "lte-walking", "wifi", "5g-mmwave", "satellite", "outage")
MOST = 24
RTTS_MS = (20, 60, 120)
BUFFER_BDP = 4.0
MEASURES = ("stall_100ms", "stall_200ms", "bitrate_bps", "queueing_p95_ms")


class Collaboration:
    """APC without time: the light tier answers, and for difficult flows the model in its place, at
    once.

    The flows come in equal groups, one for each of `factors`.
    """

    name = "collaboration"

    def __init__(
        self, light: Policy, model: Policy, factors: Sequence[float | str], flows_each: int
    ) -> None:
        flows = flows_each * len(factors)
        self._light, self._model = light, model
        self._factors, self._each = factors, flows_each
        self._schedulers = [
            RuleScheduler(flows, ApcConfig().scaled(factor)) if isinstance(factor, float) else None
            for factor in factors
        ]
        self.asked = np.zeros(flows, np.int64)  # windows decided by the model
        self.windows = np.zeros(flows, np.int64)

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        actions = self._light.decide(batch, now_ns)
        rate, cwnd = actions.pacing_rate_bps.copy(), actions.cwnd_packets.copy()
        difficult = self._difficult(batch)
        self.windows[batch.flow] += 1
        self.asked[batch.flow] += difficult
        if difficult.any():
            answer = self._model.decide(batch.only(difficult), now_ns)
            rate[difficult], cwnd[difficult] = answer.pacing_rate_bps, answer.cwnd_packets
        return Actions(rate, cwnd)

    def _difficult(self, batch: FlowBatch) -> NDArray[np.bool_]:
        difficult = np.zeros(len(batch), bool)
        for group, (factor, scheduler) in enumerate(
            zip(self._factors, self._schedulers, strict=True)
        ):
            chosen = batch.flow // self._each == group
            if scheduler is not None:
                difficult[chosen] = scheduler.observe(batch.only(chosen)) > 0
            else:
                difficult[chosen] = factor == "always"
        return difficult

    def forget(self, flows: Sequence[int]) -> None:
        """No flow ends in the simulated loop."""


def trace_files(names: str | None, dataset: Path | None) -> list[str]:
    """Traces of the sweep: those named, a dataset's validation traces (at most MOST, spread over
    the names, which begin with the family), or bundled ones.

    Raises:
        TraceError: there is no trace of a name.
    """
    if names:
        return names.split(",")
    if dataset is None:
        return list(TRACES)
    table = pq.read_table(sorted(dataset.glob("*.parquet")), columns=["source_trace", "split"])
    validation = {
        row["source_trace"]
        for row in table.group_by(["source_trace", "split"]).aggregate([]).to_pylist()
        if row["split"] == "validation"
    }
    ordered = sorted(validation)
    chosen = (
        [ordered[len(ordered) * k // MOST] for k in range(MOST)] if len(ordered) > MOST else ordered
    )
    return [str(dataset / "traces" / f"{name}.parquet") for name in chosen]


def sweep(
    names: Sequence[str],
    model: str,
    device: str,
    seconds: int,
    factors: Sequence[float | str] = FACTORS,
    light: str = DEFAULT_LIGHT,
) -> list[dict[str, Any]]:
    """One row per factor: share of the windows that went to the LLM, and mean quality over traces
    and RTTs, each with the differences per flow from never asking the LLM (median and 95 %
    interval)."""
    loaded = [traces.load(name) for name in names]
    edges = np.arange(seconds * 1000 + 1) * 1_000_000
    one = np.stack([trace.capacity_bytes(edges[:-1], edges[1:]) * 8e3 for trace in loaded], axis=1)
    capacity = np.tile(one, (1, len(RTTS_MS)))
    rtt_ms = np.repeat(RTTS_MS, len(loaded))
    each = len(rtt_ms)
    flows = each * len(factors)
    links = Links(
        np.tile(capacity, (1, len(factors))),
        np.tile(rtt_ms, len(factors)),
        np.tile(
            np.maximum(BUFFER_BDP * capacity.mean(axis=0) * rtt_ms / 8e3, 15_000.0), len(factors)
        ),
    )
    tier = Collaboration(
        create(light, PolicyContext(flows)),
        create("llm", PolicyContext(flows, model, device)),
        factors,
        each,
    )
    video = Video(flows, len(links.capacity_bps))
    outcome = simulate(links, PolicyController(tier, flows), source=video)
    shown = video.shown(np.cumsum(outcome.delivered_bytes, axis=0))
    values = {
        "stall_100ms": shown.stall_100ms,
        "stall_200ms": shown.stall_200ms,
        "bitrate_bps": shown.bitrate_bps,
        "queueing_p95_ms": outcome.queueing_p95_ms,
    }
    groups = {name: value.reshape(len(factors), each) for name, value in values.items()}
    share = tier.asked.reshape(len(factors), each).sum(1) / tier.windows.reshape(
        len(factors), each
    ).sum(1)
    rows = []
    for group, factor in enumerate(factors):
        row: dict[str, Any] = {"factor": factor, "llm_share": float(share[group]), "flows": each}
        for name, value in groups.items():
            row[name] = float(value[group].mean())
            if "never" in factors and factor != "never":
                base = value[list(factors).index("never")]
                median, interval = paired_difference_ci95(value[group].tolist(), base.tolist())
                row[f"{name}_difference"] = {"median": median, "ci95": interval}
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The sweep in Markdown. The differences are those of single flows to the same flow without the
    LLM.
    """
    headings = (
        "thresholds",
        "LLM % of windows",
        "stalls > 100 ms, %",
        "stalls > 200 ms, %",
        "bitrate, Mbit/s",
        "queueing delay p95, ms",
        "stalls > 100 ms against never, points",
        "last answer p50, ms",
        "last answer p99, ms",
        "missed %",
    )
    lines = []
    for row in rows:
        server = row.get("server") or {}
        factor = row["factor"]
        lines.append(
            (
                f"{factor} the LLM" if isinstance(factor, str) else f"× {factor:g}",
                number(100 * row["llm_share"]),
                number(100 * row["stall_100ms"], 2),
                number(100 * row["stall_200ms"], 2),
                number(row["bitrate_bps"] / 1e6, 2),
                number(row["queueing_p95_ms"]),
                _interval(row.get("stall_100ms_difference"), 100),
                number(server.get("last_p50_ms")),
                number(server.get("last_p99_ms")),
                "–" if "missed" not in server else number(100 * server["missed"], 2),
            )
        )
    return markdown(headings, lines)


def _interval(difference: dict[str, Any] | None, scale: float) -> str:
    if difference is None:
        return "–"
    text = f"{scale * difference['median']:+.2f}"
    if difference["ci95"]:
        low, high = (scale * end for end in difference["ci95"])
        text += f" [{low:+.2f}, {high:+.2f}]"
    return text


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Quality against the latency of the last answer."""
    figure, axes = new_figure(3)
    panels = (
        ("stall_100ms", "stalls > 100 ms, %", 100.0),
        ("queueing_p95_ms", "queueing delay p95, ms", 1.0),
        ("bitrate_bps", "bitrate, Mbit/s", 1e-6),
    )
    rows = [row for row in rows if (row.get("server") or {}).get("last_p99_ms") is not None]
    for axis, (key, title, scale) in zip(axes[0], panels, strict=True):
        points = [(row["server"]["last_p99_ms"], scale * row[key]) for row in rows]
        if points:
            axis.plot(*zip(*points, strict=True), "o-", linewidth=0.6)
        for row, point in zip(rows, points, strict=True):
            factor = row["factor"]
            label = factor if isinstance(factor, str) else f"×{factor:g}"
            axis.annotate(label, point, xytext=(4, 4), textcoords="offset points")
        axis.set_title(title)
        axis.set_xlabel("last answer of a window, p99, ms")
    save_figure(figure, path)
