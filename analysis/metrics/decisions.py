"""What the policy decided for a flow, how fast, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.logs import MISSING, Bools, Float64s, Int64s, Log

# The agent's own answer, and the kernel's: nobody with a policy was there.
FALLBACK_TIERS = ("local", "fallback")
LLM_TIER = "llm"


def latency_ns(decisions: Log) -> Int64s:
    """From the kernel's time of the ACK that closed the window to the action applied, where that ACK is known."""
    known = decisions["close_ack_ns"] != MISSING
    return np.asarray(decisions["applied_ns"][known] - decisions["close_ack_ns"][known])


def deadline_miss_rate(decisions: Log) -> float | None:
    """Share of windows to which the policy server gave no answer in time; None of no windows.

    A window may be answered twice, by the light policy and then by the LLM: one answer in time is enough.
    """
    windows, index = _windows(decisions)
    if not windows:
        return None
    in_time = np.zeros(windows, dtype=bool)
    in_time[index[~decisions["deadline_missed"]]] = True
    return float(np.mean(~in_time))


def _windows(decisions: Log) -> tuple[int, Int64s]:
    """How many windows were answered, and each decision's window as an index."""
    keys = np.stack([decisions["flow"], decisions["generation"], decisions["window"]], axis=1)
    if not len(keys):
        return 0, np.empty(0, np.int64)
    unique, index = np.unique(keys, axis=0, return_inverse=True)
    return len(unique), index.reshape(-1)


def tier_shares(decisions: Log) -> dict[str, float]:
    """Share of decisions by tier; empty of no decisions."""
    names, counts = np.unique(decisions["tier"], return_counts=True)
    return {
        str(name): float(count) / len(decisions["tier"]) for name, count in zip(names, counts, strict=True)
    }


def kind_shares(shares: dict[str, float]) -> dict[str, float]:
    """The shares summed as llm, fallback (the agent itself or the kernel) and light (every other policy)."""
    llm = sum(share for tier, share in shares.items() if tier == LLM_TIER)
    fallback = sum(share for tier, share in shares.items() if tier in FALLBACK_TIERS)
    light = sum(share for tier, share in shares.items() if tier not in (LLM_TIER, *FALLBACK_TIERS))
    return {"llm": llm, "light": light, "fallback": fallback}


def asked_bps(decisions: Log, edges_ns: Int64s) -> Float64s:
    """Mean pacing rate in force between consecutive edges, NaN before the first decision.

    edges_ns: [m + 1] -> float64[m]. A decision holds from applied_ns to the next one.
    """
    order = np.argsort(decisions["applied_ns"], kind="stable")
    at_ns, rate_bps = decisions["applied_ns"][order], decisions["pacing_rate_bps"][order]
    if not len(at_ns):
        return np.full(len(edges_ns) - 1, np.nan)
    # Bits asked for since the first decision, at each decision and then at each edge.
    asked = np.concatenate(([0.0], np.cumsum(rate_bps[:-1] * np.diff(at_ns))))
    index = np.searchsorted(at_ns, edges_ns, side="right") - 1
    known = np.maximum(index, 0)
    at_edge = asked[known] + rate_bps[known] * (edges_ns - at_ns[known])
    mean = np.diff(at_edge) / np.diff(edges_ns)
    return np.asarray(np.where(index[:-1] >= 0, mean, np.nan), dtype=np.float64)


def asked_mape(asked: Float64s, delivered: Float64s) -> float | None:
    """Mean |asked - delivered| / delivered over the windows in which something was asked and delivered; both [m]."""
    usable: Bools = ~np.isnan(asked) & (delivered > 0)
    if not usable.any():
        return None
    return float(np.mean(np.abs(asked[usable] - delivered[usable]) / delivered[usable]))


def tier_spans(decisions: Log, stop_ns: int) -> Iterator[tuple[str, int, int]]:
    """Which tier was in force from when to when (ns), consecutive decisions of one tier joined."""
    order = np.argsort(decisions["applied_ns"], kind="stable")
    at_ns, tier = decisions["applied_ns"][order], decisions["tier"][order]
    if not len(at_ns):
        return
    starts = np.flatnonzero(np.concatenate(([True], tier[1:] != tier[:-1])))
    ends_ns = np.append(at_ns[starts[1:]], max(stop_ns, int(at_ns[-1])))
    for start, end_ns in zip(starts, ends_ns, strict=True):
        yield str(tier[start]), int(at_ns[start]), int(end_ns)
