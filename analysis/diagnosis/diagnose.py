"""From a run to findings: every bad window blamed on one cause, and the worst stalls by name."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.diagnosis.causes import CAUSES
from analysis.diagnosis.windows import Mask, Windows, runs_of, windows_of
from analysis.metrics.link import link_metrics, link_warnings
from analysis.run import Cell, Flow, Run

LEAST_SHARE = 0.01  # of a flow's time: less is not worth a line
LINK_OFF = "link off"
UNEXPLAINED = "unexplained"


class Finding(BaseModel):
    """One cause in one flow."""

    model_config = ConfigDict(frozen=True)

    cause: str
    cell: str = Field(description="the cell's folder; empty: the whole run")
    flow: int | None
    share: float = Field(description="blamed windows / windows of the flow")
    stalled_s: float = Field(description="time in stalls above 100 ms that it is blamed for, s")
    first_s: float = Field(description="start of the first blamed window since the cell's, s")
    worst_s: float = Field(description="start of the longest run of blamed windows, s")
    evidence: str
    remedy: str


class Stall(BaseModel):
    """A long stall, with what was around it. Times in seconds since the cell's start."""

    model_config = ConfigDict(frozen=True)

    cell: str
    flow: int
    start_s: float
    length_s: float
    cause: str
    capacity_mbps: float | None = Field(description="mean offered in it; null: no trace")
    delivered_mbps: float
    queue_ms: float = Field(description="largest queueing delay in it and the second before")
    asked_mbps: float | None = Field(description="mean pacing rate asked for; null: no policy")


class Diagnosis(BaseModel):
    """findings: the gravest first; stalls: the worst hundredth of all stalls, at least one."""

    model_config = ConfigDict(frozen=True)

    findings: list[Finding]
    stalls: list[Stall]
    bad_share: float = Field(description="bad windows / windows, over all measured flows")


def diagnose(run: Run) -> Diagnosis:
    """Name what went wrong. Raises AnalysisError for logs that cannot be read."""
    link = link_metrics(run.cells)
    findings = [
        Finding(
            cause=LINK_OFF,
            cell="",
            flow=None,
            share=1.0,
            stalled_s=0.0,
            first_s=0.0,
            worst_s=0.0,
            evidence=text,
            remedy="see docs/reference/links.md; fewer cells at a time, or a slower link",
        )
        for text in link_warnings([], link)
    ]
    stalls: list[Stall] = []
    bad = total = 0
    for cell in run.cells:
        for flow in cell.measured:
            windows = windows_of(cell, flow)
            blame = blame_windows(windows)
            findings += _findings(cell, flow, windows, blame)
            stalls += _stalls(cell, flow, windows, blame)
            bad += int(windows.bad.sum())
            total += int(windows.active.sum())
    rank = {cause.name: number for number, cause in enumerate(CAUSES)}
    machine = {LINK_OFF, CAUSES[0].name}
    findings.sort(key=lambda f: (f.cause not in machine, -f.share, rank.get(f.cause, 99)))
    stalls.sort(key=lambda stall: -stall.length_s)
    worst = stalls[: max(1, len(stalls) // 100)]
    return Diagnosis(findings=findings, stalls=worst, bad_share=bad / max(1, total))


def blame_windows(windows: Windows) -> dict[str, Mask]:
    """For each cause the bad windows that it is blamed for; every bad window is in one mask."""
    left = windows.bad.copy()
    blame: dict[str, Mask] = {}
    for cause in CAUSES:
        own = left & cause.holds(windows)
        blame[cause.name] = own
        left &= ~own
    blame[UNEXPLAINED] = left
    return blame


def _findings(cell: Cell, flow: Flow, windows: Windows, blame: dict[str, Mask]) -> list[Finding]:
    lasted = max(1, int(windows.active.sum()))
    found = []
    for name, mask in blame.items():
        if mask.sum() < max(1, LEAST_SHARE * lasted):
            continue
        cause = next((cause for cause in CAUSES if cause.name == name), None)
        longest, _ = max(runs_of(mask), key=lambda run: run[1] - run[0])
        found.append(
            Finding(
                cause=name,
                cell=cell.folder.name,
                flow=flow.flow,
                share=float(mask.sum() / lasted),
                stalled_s=float((mask & windows.stalled).sum() / 10),
                first_s=float(windows.start_s[np.flatnonzero(mask)[0]]),
                worst_s=float(windows.start_s[longest]),
                evidence=cause.evidence(windows, mask) if cause else "no known cause holds",
                remedy=cause.remedy if cause else "look at the cell in report.html",
            )
        )
    return found


def _stalls(cell: Cell, flow: Flow, windows: Windows, blame: dict[str, Mask]) -> list[Stall]:
    found = []
    for first, last in runs_of(windows.stalled & windows.active):
        inside = slice(first, last)
        before = slice(max(0, first - 10), last)
        cause = max(blame, key=lambda name: int(blame[name][inside].sum()))
        found.append(
            Stall(
                cell=cell.folder.name,
                flow=flow.flow,
                start_s=float(windows.start_s[first]),
                length_s=float((last - first) / 10),
                cause=cause,
                capacity_mbps=_mean_mbps(windows.capacity_bps[inside]),
                delivered_mbps=float(windows.own_bps[inside].mean() / 1e6),
                queue_ms=float(windows.queue_ms[before].max()),
                asked_mbps=_mean_mbps(windows.asked_bps[inside]),
            )
        )
    return found


def _mean_mbps(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean() / 1e6) if len(known) else None
