"""Known mistakes in published traces, and what looks like one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from traces.forms import NS_PER_S
from traces.library import TraceFile
from traces.model import Trace

# Sets known to circulate in OpenNetLab JSON with kB/s labelled as kbit/s, and the mean (Mbit/s)
# under which a trace of theirs is suspect: the sets' own means are 1.15 (Norway 3G) and 31 (Ghent
# 4G).
_EIGHTFOLD = (
    (re.compile(r"norway|hsdpa|3g", re.IGNORECASE), 0.35),
    (re.compile(r"ghent|4g|lte", re.IGNORECASE), 8.0),
)
_GOODPUT = re.compile(r"norway|hsdpa|ghent", re.IGNORECASE)


# Text without units, `15.0 3173.7`: samples this far apart, at such rates, are hardly seconds and
# Mbit/s.
_FAR_APART_S = 20.0
_FAST_MBPS = 50.0


def _step_s(trace: Trace) -> float:
    """The median time between samples; 0 for a trace that is no row of samples."""
    if trace.steps is None or len(trace.steps.start_ns) < 2:
        return 0.0
    return float(np.median(np.diff(trace.steps.start_ns))) / NS_PER_S


def _looks_like_ms_and_kbits(file: TraceFile) -> bool:
    return (
        file.format.startswith("seconds-mbit")
        and _step_s(file.trace) >= _FAR_APART_S
        and file.trace.mean_bps() / 1e6 >= _FAST_MBPS
    )


def suspicions(file: TraceFile) -> Iterator[str]:
    """Warnings, one sentence each, about a trace as it was read."""
    trace, where = file.trace, str(file.path)
    mean_mbps = trace.mean_bps() / 1e6
    if file.format == "opennetlab":
        for pattern, least_mbps in _EIGHTFOLD:
            if pattern.search(where) and mean_mbps < least_mbps:
                yield (
                    f"its mean is {mean_mbps:.2f} Mbit/s: a set in this format is 8 times too "
                    "small "
                    "(kB/s labelled kbit/s); if it is this one, import with --unit-scale 8"
                )
                break
    if _looks_like_ms_and_kbits(file):
        yield (
            f"its samples lie {_step_s(trace):.3g} s apart at a mean of {mean_mbps:.0f} Mbit/s: "
            "if it is in milliseconds and kbit/s, give --time-scale 0.001 --unit-scale 0.001 "
            "(convert: --scale 0.001)"
        )
    if mean_mbps < 0.02:
        yield f"its mean is {mean_mbps * 1e3:.3g} kbit/s; check the unit, and --unit-scale"
    if mean_mbps > 20_000:
        yield (
            f"its mean is {mean_mbps / 1e3:.3g} Gbit/s, more than a link here can carry; check "
            "the unit"
        )
    if _GOODPUT.search(where):
        yield (
            "the Norway and Ghent sets are goodput of one TCP flow, not capacity: a lower bound "
            "of the link's"
        )
    if trace.steps is not None and trace.steps.delay_ns is not None:
        yield "it has a delay of its own, which adds to that of the link (--no-delay leaves it out)"
    varies = trace.opportunities is not None or (
        trace.steps is not None and len(trace.steps.start_ns) > 1
    )
    if varies and trace.period_ns is not None and trace.period_ns < 5e9:
        yield (
            f"it lasts {trace.period_ns / 1e9:g} s and repeats: a run sees the same seconds again "
            "and again"
        )
