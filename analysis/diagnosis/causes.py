"""The causes that a diagnosis knows: when a window has one, what shows it, and what helps.

Causes stand in the order in which they are asked: the first that holds for a bad window is blamed
for it. Faults of the measurement come first, because they look like everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.diagnosis.windows import STANDING_QUEUE_MS, Floats, Mask, Windows
from analysis.metrics.link import BUSY_SHARE

DEADLINE_MS = 100.0
RECOVERY_WINDOWS = 20  # after an outage: its queue drains and the sender finds the rate again
_SLOW_WINDOWS = 15  # for so long an answer's time at the server tells of those that never came
_OSCILLATION_LOG2 = 0.2  # smallest step of the rate that counts
_ESTIMATE = 1.3  # asked over capacity, or capacity over asked


@dataclass(frozen=True)
class Cause:
    """name: as `tbtest diagnose` prints it; holds: windows in which it acts, whether anything goes
    wrong there or not; evidence: a sentence about the blamed windows; remedy: what to do.
    """

    name: str
    holds: Callable[[Windows], Mask]
    evidence: Callable[[Windows, Mask], str]
    remedy: str


def _after(mask: Mask, windows: int) -> Mask:
    """The mask and this many windows after each of its windows."""
    spread: Mask = np.convolve(mask, np.ones(windows + 1), "full")[: len(mask)] > 0
    return spread


def _before(mask: Mask) -> Mask:
    """The mask and the windows before each of its own in which an answer tells of slowness."""
    return _after(mask[::-1], _SLOW_WINDOWS)[::-1]


def _slow(w: Windows) -> Mask:
    """The server took over half of the deadline for an answer, in the window or shortly before."""
    slow = w.service_ms > DEADLINE_MS / 2
    return _after(slow, _SLOW_WINDOWS)


def oscillating(rate_bps: Floats, capacity_bps: Floats) -> Mask:
    """Windows within a second in which the rate turned at least four times by a step of
    2^±0.2, while the capacity did not turn as often.
    """
    turns = _turns(rate_bps)
    cause = _turns(capacity_bps)
    around: Mask = np.convolve(turns, np.ones(10), "same") >= 4
    forced: Mask = np.convolve(cause, np.ones(10), "same") >= 3
    return around & ~forced


def _turns(values: Floats) -> Mask:
    """Where a series turns by more than the smallest step on both sides."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.diff(np.log2(np.maximum(values, 1)))
    turns = np.zeros(len(values), bool)
    big = np.abs(steps) > _OSCILLATION_LOG2
    turns[1:-1] = big[:-1] & big[1:] & (np.sign(steps[:-1]) != np.sign(steps[1:]))
    return turns


def _underestimated(w: Windows) -> Mask:
    low: Mask = w.idle & (w.asked_bps * _ESTIMATE < w.capacity_bps)
    return low


def _overestimated(w: Windows) -> Mask:
    high: Mask = (w.queue_ms > STANDING_QUEUE_MS / 2) & (w.asked_bps > _ESTIMATE * w.capacity_bps)
    return high


def _competing(w: Windows) -> Mask:
    others: Mask = w.others_bps > 0.25 * np.maximum(w.own_bps + w.others_bps, 1)
    return others


def _mbps(values: Floats) -> str:
    return f"{np.nanmean(values) / 1e6:.2f} Mbit/s"


CAUSES = (
    Cause(
        "processor starved",
        lambda w: w.busy > BUSY_SHARE,
        lambda w, m: f"the processors were {w.busy[m].mean():.0%} busy",
        "run fewer cells or flows at a time, or on more cores; the figures are not the network's",
    ),
    Cause(
        "outage",
        lambda w: _after(w.outage, RECOVERY_WINDOWS),
        lambda w, m: f"the trace carried nothing for {w.outage.sum() / 10:.1f} s",
        "the trace's own doing; compare how controllers recover, or choose another part of it",
    ),
    Cause(
        "server lost",
        lambda w: w.local,
        lambda w, m: f"{m.sum()} windows were answered by the agent's own fallback alone",
        "see policy-server.log in the run folder and events.parquet of the cell",
    ),
    Cause(
        "answers slow",
        lambda w: w.late & _slow(w),
        lambda w, m: (
            f"answers took up to {w.service_ms[_before(m)].max():.0f} ms at the server, of "
            f"{DEADLINE_MS:.0f}"
        ),
        "too many difficult flows or too large a batch: lower `admission`, or a faster engine",
    ),
    Cause(
        "answers late",
        lambda w: w.late,
        lambda w, m: f"{m.sum()} windows had no answer within {DEADLINE_MS:.0f} ms",
        "the path from agent to server delays or loses answers; a local server answers in time",
    ),
    Cause(
        "random loss",
        lambda w: _after((w.lost >= 1) & (w.lost > 0.005 * w.sent), 5),
        lambda w, m: f"{w.lost[m].sum():.0f} packets were lost at random behind the queue",
        "the scenario's `loss`; a controller that takes every loss for congestion slows down",
    ),
    Cause(
        "sender application-limited",
        lambda w: (w.app_limited > 0.5) & (w.queue_ms < 20) & ~w.stalled,
        lambda w, m: (
            f"the sender had nothing to send in {w.app_limited[m].mean():.0%} of its samples"
        ),
        "the application offers less than the link carries: raise its rate, or lower the link's",
    ),
    Cause(
        "competing flow",
        _competing,
        lambda w, m: (
            f"other flows had {_mbps(w.others_bps[m])} of the bottleneck, this one "
            f"{_mbps(w.own_bps[m])}"
        ),
        "judge fairness and shares, not delay alone; see the cross traffic in the scenario",
    ),
    Cause(
        "rate oscillates",
        lambda w: oscillating(w.asked_bps, w.capacity_bps),
        lambda w, m: f"the rate asked for turned {_turns(w.asked_bps)[m].sum()} times by over 15 %",
        "the policy sees too short a history, or answers its own doing: a longer history",
    ),
    Cause(
        "bandwidth overestimated",
        _overestimated,
        lambda w, m: (
            f"asked for {_mbps(w.asked_bps[m])} of {_mbps(w.capacity_bps[m])}, queue up to "
            f"{w.queue_ms[m].max():.0f} ms"
        ),
        "a lower rate gain or a smaller cwnd bound; train on links that fall as fast",
    ),
    Cause(
        "bandwidth underestimated",
        _underestimated,
        lambda w, m: (
            f"asked for {_mbps(w.asked_bps[m])} of {_mbps(w.capacity_bps[m])} with an empty queue"
        ),
        "more probing when the queue is empty; train on links that rise as fast",
    ),
    Cause(
        "thresholds too strict",
        lambda w: w.stalled & np.isfinite(w.asked_bps) & ~w.llm,
        lambda w, m: f"stalled for {m.sum() / 10:.1f} s without an answer of the LLM",
        "lower the scheduler's thresholds (`--set policy.scheduler...`), so that such flows are "
        "called difficult",
    ),
    Cause(
        "bufferbloat",
        lambda w: w.queue_ms > STANDING_QUEUE_MS,
        lambda w, m: (
            f"packets waited up to {w.queue_ms[m].max():.0f} ms, {w.queue_ms[m].mean():.0f} ms in "
            "the mean of the windows' largest"
        ),
        "a controller that keeps the queue short, a smaller buffer, or an AQM (`--queue codel`)",
    ),
    Cause(
        "link idle",
        lambda w: w.idle,
        lambda w, m: f"the flow used {_mbps(w.own_bps[m])} of {_mbps(w.capacity_bps[m])}",
        "the kernel's controller is slow to find the rate: a longer cell, or another controller",
    ),
)
