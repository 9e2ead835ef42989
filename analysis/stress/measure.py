"""What a cell did while everything failed, and after, from its run folder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.diagnosis.windows import Mask, Windows, windows_of
from analysis.measure import measure_cell
from analysis.metrics.link import link_metrics, link_warnings
from analysis.metrics.trust import policy_doubts
from analysis.run import Cell, Flow

ON_TIME_NS = 200_000_000
"""A frame's capture to its completion; the detour alone takes half of it."""
RECOVERED_SHARE = 0.5
"""Two flows that come back share the link anew, and not as before."""
_SECOND = 10  # windows


def measured(cell: Cell, from_s: float, to_s: float) -> dict[str, Any]:
    """The row of a cell whose failures act between these seconds. Raises AnalysisError.

    utilisation: delivered by the bottleneck for the measured flows / what it offered; stalled:
    share of the flows' time in stalls above 100 ms; on_time: frames complete within 200 ms of
    their capture / frames captured then; recovery_s: after the failures' end, of the slowest flow,
    null where one does not recover; deadline_miss: windows without an answer in time, local: those
    with the agent's own fallback alone (null without a policy).
    """
    flows = cell.measured
    windows = [windows_of(cell, flow) for flow in flows]
    frames = cell.log("frames")
    start_s = windows[0].start_s
    phases = {
        "before": (start_s >= 1) & (start_s < from_s),
        "during": (start_s >= from_s) & (start_s < to_s),
        "after": start_s >= to_s,
    }
    row: dict[str, Any] = {}
    for name, mask in phases.items():
        row[f"utilisation_{name}"] = _utilisation(windows, mask)
        row[f"stalled_{name}"] = _share([w.stalled for w in windows], mask)
        row[f"on_time_{name}"] = _on_time(cell, frames, flows, mask)
        row[f"queue_p95_{name}_ms"] = _largest(windows, mask)
        row[f"deadline_miss_{name}"] = (
            _share([w.late for w in windows], mask) if cell.is_policy else None
        )
        row[f"local_{name}"] = _share([w.local for w in windows], mask) if cell.is_policy else None
    recovered = [recovery_s(w, from_s, to_s) for w in windows]
    known = [value for value in recovered if value is not None]
    row["recovery_s"] = max(known) if len(known) == len(recovered) else None
    row["flows"] = len(flows)
    row["flows_lost"] = sum(not w.own_bps[w.active][-_SECOND:].any() for w in windows)
    warnings = link_warnings([cell], link_metrics([cell]))
    doubts = [doubt.text for doubt in policy_doubts(cell, measure_cell(cell))]
    row["warnings"] = "\n".join((*doubts, *warnings))
    return row


def recovery_s(w: Windows, from_s: float, to_s: float) -> float | None:
    """From the failures' end until the first second in which the flow delivers at least
    RECOVERED_SHARE of what it did in the mean before them (less its first second), does not stall
    in so much of it, and no queue of 100 ms stands; None if there is none.
    """
    usual = w.own_bps[(w.start_s >= 1) & (w.start_s < from_s)].mean()
    first = int(np.searchsorted(w.start_s, to_s - 1e-9))
    last = int(np.flatnonzero(w.active)[-1]) + 1 if w.active.any() else 0
    for at in range(first, last - _SECOND + 1):
        second = slice(at, at + _SECOND)
        delivers = w.own_bps[second].mean() >= RECOVERED_SHARE * usual
        calm = w.stalled[second].mean() <= 1 - RECOVERED_SHARE
        if delivers and calm and (w.queue_ms[second] < 100).all():
            return round(float(w.start_s[at]) - to_s, 1)
    return None


def _utilisation(windows: list[Windows], mask: Mask) -> float | None:
    offered = windows[0].capacity_bps[mask].sum()
    delivered = sum(float(w.own_bps[mask].sum()) for w in windows)
    return delivered / float(offered) if math.isfinite(offered) and offered > 0 else None


def _share(masks: list[Mask], phase: Mask) -> float:
    return float(np.mean([mask[phase].mean() for mask in masks])) if phase.any() else 0.0


def _largest(windows: list[Windows], phase: Mask) -> float:
    return float(np.percentile(np.concatenate([w.queue_ms[phase] for w in windows]), 95))


def _on_time(cell: Cell, frames: pd.DataFrame, flows: list[Flow], phase: Mask) -> float | None:
    if not len(frames):
        return None
    own = frames[frames["flow"].isin([flow.flow for flow in flows])]
    place = np.clip(
        (own["captured_ns"].to_numpy(np.int64) - cell.start_ns) // 100_000_000, 0, len(phase) - 1
    )
    chosen = own[phase[place]]
    if not len(chosen):
        return None
    return float((chosen["completed_ns"] - chosen["captured_ns"] <= ON_TIME_NS).mean())
