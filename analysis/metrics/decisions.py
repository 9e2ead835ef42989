"""How a policy answered: latency, deadline misses, share of the tiers, and whether the kernel
followed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from analysis.metrics.percentiles import PercentilesMs, percentiles_ms
from analysis.run import Flow


class DecisionMetrics(BaseModel):
    """Of one flow. A decision is an answer that was applied; one window may have two, the light one
    and the LLM's.
    """

    model_config = ConfigDict(frozen=True)

    decisions: int = Field(description="answers applied")
    latency_ms: PercentilesMs = Field(
        description="from the ACK that closed the window to the answer applied"
    )
    deadline_miss_rate: float = Field(
        description="windows without any answer within the deadline / windows answered"
    )
    tier_share: dict[str, float] = Field(description="share of applied answers per tier")
    llm_share: float = Field(description="share of applied answers that came from the LLM")
    asked_over_delivered: float | None = Field(
        description=(
            "median of pacing rate asked / rate delivered until the next answer; null without ACK "
            "log"
        )
    )


def decision_metrics(
    decisions: pd.DataFrame, acks: pd.DataFrame, flow: Flow
) -> DecisionMetrics | None:
    """Metrics of a flow under a policy; None if no decision was logged for it."""
    rows = decisions[decisions["flow"] == flow.flow] if len(decisions) else decisions
    rows = rows[rows["applied_ns"].notna()] if len(rows) else rows
    if not len(rows):
        return None
    windows = rows.groupby(["generation", "window"])["deadline_missed"].all()
    shares = rows["tier"].value_counts(normalize=True)
    return DecisionMetrics(
        decisions=len(rows),
        latency_ms=percentiles_ms((rows["applied_ns"] - rows["close_ack_ns"]).dropna()),
        deadline_miss_rate=float(windows.mean()),
        tier_share={str(tier): float(share) for tier, share in shares.items()},
        llm_share=float(shares.get("llm", 0.0)),
        asked_over_delivered=_asked_over_delivered(rows, acks, flow),
    )


def _asked_over_delivered(rows: pd.DataFrame, acks: pd.DataFrame, flow: Flow) -> float | None:
    """Only stretches in which the flow had data to send all the time say whether the kernel
    followed.
    """
    own = acks[acks["flow"] == flow.flow] if len(acks) else acks
    if not len(own):
        return None
    rows = rows.sort_values("applied_ns")
    times = own["at_ns"].to_numpy(dtype=np.int64)
    delivered = own["delivered_bytes"].to_numpy(dtype=np.float64)
    limited = np.cumsum(own["app_limited"].to_numpy(dtype=np.int64))
    applied = rows["applied_ns"].to_numpy(np.int64)
    first, last = np.searchsorted(times, applied[:-1]), np.searchsorted(times, applied[1:]) - 1
    usable = last > first
    first, last = first[usable], last[usable]
    greedy = limited[last] == limited[first]
    first, last = first[greedy], last[greedy]
    asked = rows["pacing_rate_bps"].to_numpy(np.float64)[:-1][usable][greedy]
    seconds = (times[last] - times[first]) / 1e9
    rate = (delivered[last] - delivered[first]) * 8 / np.where(seconds > 0, seconds, np.nan)
    ratio = asked / np.where(rate > 0, rate, np.nan)
    ratio = ratio[np.isfinite(ratio)]
    return float(np.median(ratio)) if len(ratio) else None
