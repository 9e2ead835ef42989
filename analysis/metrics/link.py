"""Whether the emulation can be trusted: rate, delay and timing errors of the links, and the
processor's state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis import files
from analysis.run import Cell

# Median of the stretches with a backlog, of about 50 packets each.
RATE_ERROR_PCT = 1.0
DELAY_ERROR_MS = 1.0  # p99
STEP_LATENESS_MS = 5.0  # p99
STEAL_SHARE = 0.05  # mean over a cell
BUSY_SHARE = 0.95


class Spread(BaseModel):
    """Of absolute errors; null where there was nothing to measure."""

    model_config = ConfigDict(frozen=True)

    p50: float | None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class LinkMetrics(BaseModel):
    """Over all bottlenecks and cells of the run."""

    model_config = ConfigDict(frozen=True)

    rate_error_pct: Spread = Field(
        description=(
            "|delivered - offered| / offered per stretch of about 50 packets with a backlog, less "
            "one packet's allowance, % (p50, p95, max)"
        )
    )
    delay_error_ms: Spread = Field(
        description="delay added less delay asked, ms: the worst link's p50 and p99"
    )
    step_lateness_ms: Spread = Field(
        description=(
            "lateness of trace steps or delivery opportunities, ms: the worst link's p50 and p99"
        )
    )


def link_metrics(cells: Sequence[Cell]) -> LinkMetrics:
    """Errors of the bottlenecks in the data direction (delays: of every emulated link)."""
    entries = [link for cell in cells for link in cell.links]
    errors = (
        np.abs([error for link in entries if link.bottleneck for error in link.rate_error]) * 100
    )
    rate = Spread(p50=None)
    if len(errors):
        p50, p95, top = (float(value) for value in np.percentile(errors, [50, 95, 100]))
        rate = Spread(p50=p50, p95=p95, max=top)
    return LinkMetrics(
        rate_error_pct=rate,
        delay_error_ms=_worst([link.delay_error_ns for link in entries]),
        step_lateness_ms=_worst([link.step_lateness_ns for link in entries if link.bottleneck]),
    )


def _worst(percentiles: Sequence[files.Spread | None]) -> Spread:
    known = [value for value in percentiles if value is not None]
    if not known:
        return Spread(p50=None)
    return Spread(p50=max(v.p50 for v in known) / 1e6, p99=max(v.p99 for v in known) / 1e6)


def link_warnings(cells: Sequence[Cell], link: LinkMetrics) -> list[str]:
    """Why results should not be trusted, if so."""
    warnings = []
    checks = (
        (
            link.rate_error_pct.p50,
            RATE_ERROR_PCT,
            "the bottleneck's rate was off by {:.1f} % (median of the stretches with a backlog)",
        ),
        (link.delay_error_ms.p99, DELAY_ERROR_MS, "added delays were off by {:.2f} ms (p99)"),
        (
            link.step_lateness_ms.p99,
            STEP_LATENESS_MS,
            "the trace was replayed {:.1f} ms late (p99)",
        ),
    )
    for value, limit, text in checks:
        if value is not None and value > limit:
            warnings.append(text.format(value) + f", more than {limit:g}")
    for cell in cells:
        samples = cell.record.cpu.samples
        name = cell.folder.name
        if samples:
            steal = float(np.mean([sample.steal for sample in samples]))
            busy = float(np.mean([sample.busy for sample in samples]))
            if steal > STEAL_SHARE:
                warnings.append(f"{name}: the host took {steal:.0%} of the processors (steal)")
            if busy > BUSY_SHARE:
                warnings.append(
                    f"{name}: the processors were {busy:.0%} busy; starvation looks like congestion"
                )
        warnings += [f"{name}: {text}" for text in cell.record.warnings]
    return warnings
