"""What a viewer of adaptive streaming saw: bitrate, stalls, switches, start-up and QoE."""

from __future__ import annotations

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from analysis.metrics.percentiles import PercentilesMs, percentiles_ms
from analysis.run import Flow


class DashMetrics(BaseModel):
    """One session. The first chunk, which nobody chose, counts for start-up alone, as in the
    simulator.
    """

    model_config = ConfigDict(frozen=True)

    qoe: float | None = Field(
        description=(
            "mean per chunk of utility - stall cost - switching cost; a stall at the end counts; "
            "null before the second chunk"
        )
    )
    bitrate_mbps: float | None = Field(description="mean nominal bitrate, Mbit/s")
    stall_ratio: float | None = Field(description="stall / (stall + video that arrived)")
    switches: int = Field(description="changes of level")
    startup_s: float | None = Field(
        description="from the flow's start to the first whole chunk; null if none came"
    )
    chunks: int = Field(description="chunks that arrived")
    whole: bool = Field(description="whether the whole video arrived")
    policy_share: float | None = Field(
        description="levels that the policy server chose in time / levels chosen"
    )
    fallback_share: float | None = Field(
        description="levels that the fallback chose in the server's place / levels chosen"
    )
    choice_ms: PercentilesMs = Field(description="time that a choice took")


def dash_metrics(chunks: pd.DataFrame, sessions: pd.DataFrame, flow: Flow) -> DashMetrics | None:
    """Metrics of a dash flow; None if its player logged nothing."""
    if not len(sessions):
        return None
    own = sessions[sessions["flow"] == flow.flow]
    if not len(own):
        return None
    session = own.iloc[0]
    rows = chunks[chunks["flow"] == flow.flow].sort_values("chunk")
    chosen = rows.iloc[1:]
    n = len(chosen)
    stall_s = float(chosen["rebuffer_s"].sum() + session["open_stall_s"])
    changes = rows["utility"].diff().abs().iloc[1:].sum()
    reward = chosen["utility"].sum() - session["switch"] * changes
    arrived_s = n * float(session["chunk_s"])
    started = session["started_ns"]
    return DashMetrics(
        qoe=float(reward - session["stall_per_s"] * stall_s) / n if n else None,
        bitrate_mbps=float(chosen["bitrate_kbps"].mean()) / 1000 if n else None,
        stall_ratio=stall_s / (stall_s + arrived_s) if stall_s + arrived_s > 0 else None,
        switches=int((rows["level"].diff().iloc[1:] != 0).sum()),
        startup_s=None if pd.isna(started) else (int(started) - flow.start_ns) / 1e9,
        chunks=len(rows),
        whole=session["ended"] == "over",
        policy_share=float((chosen["source"] == "policy").mean()) if n else None,
        fallback_share=float((chosen["source"] == "fallback").mean()) if n else None,
        choice_ms=percentiles_ms(chosen["decision_ns"]),
    )
