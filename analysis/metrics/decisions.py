"""How a policy answered: latency, deadline misses, share of the tiers, and whether the kernel
followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from analysis.metrics.percentiles import PercentilesMs, percentiles_ms
from analysis.run import Flow

WINDOW_NS = 100_000_000  # of an agent that has not said its own
LOCAL_TIER = "local"
"""The agent's own fallback, which answers while the server is silent."""
LLM_TIER = "llm"
_CONNECTION = re.compile(r"(?P<name>slot \d+ generation \d+)(?: since (?P<since>\d+))?$")


class TierMetrics(BaseModel):
    """Answers of one tier of the policy that were applied."""

    model_config = ConfigDict(frozen=True)

    answers: int = Field(description="answers of this tier that were applied")
    window_share: float = Field(
        description="windows with an answer of this tier / windows that should have been answered"
    )
    latency_ms: PercentilesMs = Field(
        description="from the ACK that closed the window to the answer applied"
    )
    after_window_ms: PercentilesMs = Field(
        description="from the end of the window to the answer applied, timer-closed windows too"
    )
    late_share: float = Field(description="answers of this tier after the deadline / its answers")


class DecisionMetrics(BaseModel):
    """Decisions for one flow. A decision is an answer that was applied.

    One window may have two, the light policy's and the LLM's. A flow may have several connections
    at once. The windows that should have been answered are those that fit into the time in which
    each of them was open less one round trip, in which it connects, and less its silences: after
    10 s without an ACK no window closes until the next one comes.
    """

    model_config = ConfigDict(frozen=True)

    decisions: int = Field(description="answers applied")
    expected_windows: int = Field(description="windows that should have been answered")
    answered_share: float = Field(
        description="windows that the policy answered / windows that should have been answered"
    )
    deadline_miss_rate: float = Field(
        description=(
            "windows without any answer within the deadline / windows that should have been "
            "answered"
        )
    )
    latency_ms: PercentilesMs = Field(
        description="all tiers: from the ACK that closed the window to the answer applied"
    )
    tier_share: dict[str, float] = Field(description="share of applied answers per tier")
    llm_share: float = Field(description="share of applied answers that came from the LLM")
    tiers: dict[str, TierMetrics] = Field(description="per tier")
    kernel_s: float = Field(
        description="time under the kernel's own control after the first decision, s"
    )
    asked_over_delivered: float | None = Field(
        description=(
            "median of pacing rate asked / rate delivered until the next answer; null without ACK "
            "log and for a flow of several connections"
        )
    )

    @property
    def local_share(self) -> float:
        """Share of the applied answers that the agent's own fallback gave."""
        return self.tier_share.get(LOCAL_TIER, 0.0)


def decision_metrics(
    decisions: pd.DataFrame,
    acks: pd.DataFrame,
    events: pd.DataFrame,
    flow: Flow,
    window_ns: int = WINDOW_NS,
) -> DecisionMetrics:
    """Metrics of a flow that a policy should have controlled; also where it answered nothing.

    The frames are the cell's logs and may be empty; window_ns: length of the agent's windows.
    """
    rows = decisions[decisions["flow"] == flow.flow] if len(decisions) else decisions
    rows = rows[rows["applied_ns"].notna()] if len(rows) else rows
    connections = _connections(events, flow)
    open_ns = sum(connection.active_ns(flow) for connection in connections)
    expected = max(1, open_ns // window_ns)
    if not len(rows):
        nothing = percentiles_ms([])
        return DecisionMetrics(
            decisions=0,
            expected_windows=expected,
            answered_share=0.0,
            deadline_miss_rate=1.0,
            latency_ms=nothing,
            tier_share={},
            llm_share=0.0,
            tiers={},
            kernel_s=0.0,
            asked_over_delivered=None,
        )
    in_time = _windows(rows[~rows["deadline_missed"]], flow)
    shares = rows["tier"].value_counts(normalize=True)
    return DecisionMetrics(
        decisions=len(rows),
        expected_windows=expected,
        answered_share=min(1.0, _windows(rows[rows["tier"] != LOCAL_TIER], flow) / expected),
        deadline_miss_rate=max(0.0, 1 - in_time / expected),
        latency_ms=percentiles_ms((rows["applied_ns"] - rows["close_ack_ns"]).dropna()),
        tier_share={str(tier): float(share) for tier, share in shares.items()},
        llm_share=float(shares.get(LLM_TIER, 0.0)),
        tiers={
            str(tier): TierMetrics(
                answers=len(own),
                window_share=min(1.0, _windows(own, flow) / expected),
                latency_ms=percentiles_ms((own["applied_ns"] - own["close_ack_ns"]).dropna()),
                after_window_ms=percentiles_ms((own["applied_ns"] - own["window_end_ns"]).dropna()),
                late_share=float(own["deadline_missed"].mean()),
            )
            for tier, own in rows.groupby("tier")
        },
        kernel_s=_kernel_ns(events, flow, int(rows["applied_ns"].min())) / 1e9,
        asked_over_delivered=(
            _asked_over_delivered(rows, acks, flow) if len(connections) == 1 else None
        ),
    )


def _windows(rows: pd.DataFrame, flow: Flow) -> int:
    """Windows among these answers that ended while the flow lasted."""
    within = rows[~(rows["window_end_ns"] > flow.stop_ns)]
    return len(within[["slot", "generation", "window"]].drop_duplicates())


@dataclass
class _Connection:
    """When the agent knew a connection, and when it had been quiet for long."""

    start_ns: int
    stop_ns: int
    silences: list[tuple[int, int]] = field(default_factory=list)

    def active_ns(self, flow: Flow) -> int:
        """Time while the flow lasted in which windows of this connection closed."""
        start_ns = max(self.start_ns, flow.start_ns) + flow.base_rtt_ns
        stop_ns = min(self.stop_ns, flow.stop_ns)
        quiet_ns = sum(
            max(0, min(until_ns, stop_ns) - max(since_ns, start_ns))
            for since_ns, until_ns in self.silences
        )
        return max(0, stop_ns - start_ns - quiet_ns)


def _connections(events: pd.DataFrame, flow: Flow) -> list[_Connection]:
    """The connections of a flow; one that lasts as long as the flow where the agent saw none."""
    found: dict[str, _Connection] = {}
    own = events[events["flow"] == flow.flow].sort_values("at_ns") if len(events) else events
    columns = (own[name].tolist() for name in ("at_ns", "event", "detail")) if len(own) else ()
    for at_ns, event, detail in zip(*columns, strict=True):
        match = _CONNECTION.match(detail)
        if match is None:
            continue
        if event in ("open", "adopted"):
            found.setdefault(match["name"], _Connection(at_ns, flow.stop_ns))
        elif (connection := found.get(match["name"])) is None:
            continue
        elif event == "close":
            connection.stop_ns = at_ns
        elif event == "quiet" and match["since"]:
            connection.silences.append((int(match["since"]), at_ns))
    return list(found.values()) or [_Connection(flow.start_ns, flow.stop_ns)]


def _kernel_ns(events: pd.DataFrame, flow: Flow, first_ns: int) -> int:
    """Time between the first decision and the flow's stop in which the kernel had control."""
    if not len(events):
        return 0
    own = events[(events["flow"] == flow.flow) & (events["event"] == "control")]
    total_ns, since_ns = 0, None
    for at_ns, detail in sorted(zip(own["at_ns"], own["detail"], strict=True)):
        at_ns = min(max(int(at_ns), first_ns), flow.stop_ns)
        if since_ns is not None:
            total_ns += at_ns - since_ns
        since_ns = at_ns if str(detail).startswith("kernel") else None
    return total_ns + (max(0, flow.stop_ns - since_ns) if since_ns is not None else 0)


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
