"""Every metric that tables, reports and the league show: one line each.

A metric is computed by a function beside this module, stands in the schema of metrics.json, and is
shown and compared by its line here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from analysis.metrics.schema import CellMetrics


@dataclass(frozen=True)
class Metric:
    """How a metric is called, found, folded over flows, shown and compared.

    name: column of the league's table; path: where it is in `cells` of metrics.json ("" if the
    league alone has it); higher_is_better: None where neither way is better; factor: from the
    stored value to the shown one; fold: over the flows of a cell, in the league's table; crowned:
    whether a winner is marked; places: who shows it.

    A winner is marked only where sending less, or showing frames late, cannot win: not for stalls,
    delays, losses or shares of frames.
    """

    name: str
    path: str
    title: str
    higher_is_better: bool | None
    factor: float = 1.0
    digits: int = 1
    fold: Literal["mean", "sum"] = "mean"
    crowned: bool = False
    places: tuple[Literal["run", "league"], ...] = ("run", "league")


METRICS: tuple[Metric, ...] = (
    Metric(
        "on_time_mbps",
        "video.on_time_bitrate_mbps",
        "on-time bitrate Mbit/s",
        True,
        digits=2,
        crowned=True,
    ),
    Metric("on_time_share", "video.on_time_share", "frames on time %", True, 100.0),
    Metric(
        "on_time_200_mbps",
        "video.on_time_200ms_bitrate_mbps",
        "bitrate within 200 ms Mbit/s",
        True,
        digits=2,
        crowned=True,
    ),
    Metric("on_time_200_share", "video.on_time_200ms_share", "frames within 200 ms %", True, 100.0),
    Metric("bitrate_mbps", "video.bitrate_mbps", "displayed bitrate Mbit/s", True, digits=2),
    Metric("qoe", "dash.qoe", "QoE per chunk", True, digits=3, crowned=True),
    Metric(
        "chunk_bitrate_mbps",
        "dash.bitrate_mbps",
        "bitrate of chunks Mbit/s",
        True,
        digits=2,
    ),
    Metric("stall_ratio", "dash.stall_ratio", "stall ratio %", False, 100.0, 2),
    Metric("switches", "dash.switches", "switches", None),
    Metric("startup_s", "dash.startup_s", "start-up s", False, digits=2),
    Metric(
        "abr_policy_share",
        "dash.policy_share",
        "levels the policy chose %",
        None,
        100.0,
    ),
    Metric("fct_p50_ms", "web.fct_ms.p50", "completion time p50 ms", False, places=("run",)),
    Metric("fct_p95_ms", "web.fct_ms.p95", "completion time p95 ms", False, places=("run",)),
    Metric("fct_p99_ms", "web.fct_ms.p99", "completion time p99 ms", False, places=("run",)),
    Metric(
        "short_fct_p95_ms",
        "web.short_fct_ms.p95",
        "completion time up to 100 kB p95 ms",
        False,
        places=("run",),
    ),
    Metric(
        "completed_share",
        "web.completed_share",
        "transfers completed %",
        True,
        100.0,
        places=("run",),
    ),
    Metric("cut_off", "web.cut_off", "transfers cut off", None, digits=0, places=("run",)),
    Metric("jct_mean_s", "jobs.jct_mean_s", "mean JCT s", False, digits=2, places=("run",)),
    Metric("jct_p95_s", "jobs.jct_p95_s", "p95 JCT s", False, digits=2, places=("run",)),
    Metric(
        "transfer_share",
        "jobs.transfer_share",
        "share of JCT in transfers %",
        None,
        100.0,
        places=("run",),
    ),
    Metric("jobs_done", "jobs.done_share", "jobs done %", True, 100.0, places=("run",)),
    Metric(
        "scheduler_policy_share",
        "jobs.policy_share",
        "placements the policy made %",
        None,
        100.0,
        places=("run",),
    ),
    Metric(
        "throughput_mbps",
        "throughput_mbps",
        "throughput Mbit/s",
        True,
        digits=2,
        fold="sum",
        crowned=True,
    ),
    Metric("utilisation", "utilisation", "utilisation %", True, 100.0, fold="sum", crowned=True),
    Metric(
        "link_utilisation",
        "link_utilisation",
        "utilisation by all flows %",
        True,
        100.0,
        crowned=True,
        places=("run",),
    ),
    Metric("power", "power", "power Mbit/s per s", True, crowned=True),
    Metric("jain", "jain", "Jain's index", True, digits=3, crowned=True),
    Metric("owd_p50_ms", "owd_ms.p50", "one-way delay p50 ms", False, places=("run",)),
    Metric("qdelay_p95_ms", "qdelay_ms.p95", "queueing delay p95 ms", False),
    Metric(
        "ack_qdelay_p95_ms",
        "ack_qdelay_ms.p95",
        "ACKs' queueing delay p95 ms",
        False,
        places=("run",),
    ),
    Metric("owd_p95_ms", "owd_ms.p95", "one-way delay p95 ms", False),
    Metric("stall_100", "video.stall_rate_100ms", "stalls >100 ms %", False, 100.0, 2),
    Metric("stall_200", "video.stall_rate_200ms", "stalls >200 ms %", False, 100.0, 2),
    Metric("stall_500", "video.stall_rate_500ms", "stalls >500 ms %", False, 100.0, 2),
    Metric("freeze_rate", "video.freeze_rate", "freezes %", False, 100.0, 2, places=("run",)),
    Metric(
        "frame_delay_p95_ms",
        "video.frame_delay_ms.p95",
        "frame delay p95 ms",
        False,
        digits=0,
        places=("run",),
    ),
    Metric("loss_rate", "loss_rate", "loss %", False, 100.0, 2),
    Metric("mark_rate", "mark_rate", "marked (CE) %", None, 100.0, 2, places=("run",)),
    Metric(
        "retransmit_rate", "retransmit_rate", "retransmitted %", False, 100.0, 2, places=("run",)
    ),
    Metric("share", "", "share against others %", None, 100.0, places=("league",)),
    Metric("answered_share", "decisions.answered_share", "windows answered %", None, 100.0),
    Metric(
        "decision_p50_ms", "decisions.latency_ms.p50", "decision latency p50 ms", False, digits=2
    ),
    Metric(
        "decision_p99_ms", "decisions.latency_ms.p99", "decision latency p99 ms", False, digits=2
    ),
    Metric(
        "deadline_miss_rate",
        "decisions.deadline_miss_rate",
        "deadline misses %",
        False,
        100.0,
        2,
    ),
    Metric(
        "llm_window_share",
        "decisions.tiers.llm.window_share",
        "windows the LLM answered %",
        None,
        100.0,
    ),
    Metric(
        "llm_after_window_p50_ms",
        "decisions.tiers.llm.after_window_ms.p50",
        "LLM's answer after the window p50 ms",
        False,
    ),
    Metric(
        "llm_late_share", "decisions.tiers.llm.late_share", "LLM's answers late %", False, 100.0, 2
    ),
    Metric(
        "llm_share",
        "decisions.llm_share",
        "LLM's share of answers %",
        None,
        100.0,
        places=("league",),
    ),
)

RUN = tuple(metric for metric in METRICS if "run" in metric.places)
LEAGUE = tuple(metric for metric in METRICS if "league" in metric.places)


def value_of(cell: CellMetrics, path: str) -> float:
    """The metric at a dotted path of `cells`; NaN where it is null or missing."""
    found: object = cell
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
    return float(found) if isinstance(found, int | float) else math.nan
