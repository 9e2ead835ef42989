"""The schema of metrics.json. docs/reference/metrics.md shows it with formulas and units."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.metrics.dash import DashMetrics
from analysis.metrics.decisions import DecisionMetrics
from analysis.metrics.jobs import JobsMetrics
from analysis.metrics.link import LinkMetrics
from analysis.metrics.percentiles import PercentilesMs
from analysis.metrics.video import VideoMetrics
from analysis.metrics.web import WebMetrics


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class CellMetrics(_Model):
    """One measured flow of one cell."""

    cell: str = Field(description="the cell's folder")
    cc: str = Field(
        description=(
            "congestion controller, as --cc names it; with ` + ` and who chose the levels or "
            "scheduled the jobs, where a run compares them"
        )
    )
    abr: str = Field("", description="who chose the levels, as --abr names it, or empty")
    scheduler: str = Field(
        "", description="who scheduled the jobs, as --scheduler names it, or empty"
    )
    repeat: int
    seed: int
    flow: int
    kind: str = Field(description="traffic kind")
    throughput_mbps: float = Field(
        description="goodput at the receiver over the flow's length, Mbit/s"
    )
    utilisation: float | None = Field(
        description="bytes through the bottleneck / bytes the trace offered"
    )
    link_utilisation: float | None = Field(
        description=(
            "bytes of all measured flows through this bottleneck / bytes the trace offered; null "
            "for a single flow"
        )
    )
    owd_ms: PercentilesMs = Field(description="one-way delay per packet, data direction")
    qdelay_ms: PercentilesMs = Field(
        description="queueing delay per packet at the bottleneck, data direction"
    )
    ack_qdelay_ms: PercentilesMs | None = Field(
        None, description="queueing delay of its ACKs at the bottleneck's way back; null: unlimited"
    )
    rtt_ms: PercentilesMs = Field(description="the sender's smoothed RTT, sampled every 20 ms")
    loss_rate: float | None = Field(
        description="packets dropped at the bottleneck / packets that reached it"
    )
    mark_rate: float | None = Field(
        None, description="packets marked with CE at the bottleneck / packets that reached it"
    )
    retransmit_rate: float | None = Field(description="bytes retransmitted / bytes sent")
    power: float | None = Field(description="throughput / mean one-way delay, Mbit/s per s")
    jain: float | None = Field(
        description="Jain's index over the cell's measured flows of one direction; null for one"
    )
    video: VideoMetrics | None = Field(None, description="only for video flows")
    dash: DashMetrics | None = Field(None, description="only for dash flows")
    web: WebMetrics | None = Field(None, description="only for web flows")
    jobs: JobsMetrics | None = Field(
        None, description="only for jobs traffic, of the cell's first flow"
    )
    decisions: DecisionMetrics | None = Field(None, description="only under a policy")


class Doubt(_Model):
    """Why a cell that is called after a policy says little about that policy."""

    cell: str
    cc: str
    short: str = Field(description="for a heading, e.g. 88% fallback")
    text: str = Field(description="a sentence, without the cell's name")


class Summary(_Model):
    """One metric of one controller over all cells (mean of the flows of a cell, then median of the
    cells).
    """

    cc: str
    metric: str = Field(description="path of the metric in `cells`, e.g. video.stall_rate_100ms")
    median: float | None
    ci95: tuple[float, float] | None = Field(
        description="bootstrap interval of the median; null below 5 cells"
    )
    cells: int
    winner: bool = Field(
        description="marked: better than every other, with intervals that do not overlap"
    )


class Metrics(_Model):
    """metrics.json."""

    schema_version: Literal[2] = 2
    run_id: str
    cells: list[CellMetrics]
    summary: list[Summary]
    link: LinkMetrics
    doubts: list[Doubt] = Field(
        default_factory=list, description="columns of a policy that hold something else"
    )
    warnings: list[str] = Field(description="every reason not to trust a result; doubts first")
