"""Trust: the links' own account, and the warnings that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.measure import measure
from analysis.metrics.schema import Metrics
from analysis.run import load_run
from tests.analysis.synthetic import SyntheticCell, write_run


def measured(tmp_path: Path, *cells: SyntheticCell) -> Metrics:
    return measure(load_run(write_run(tmp_path / "run", cells)))


def test_rate_error_is_absolute_in_percent_over_all_cells(tmp_path: Path) -> None:
    metrics = measured(
        tmp_path,
        SyntheticCell(link={"rate_error": [0.01, -0.03]}),
        SyntheticCell(link={"rate_error": [0.0]}),
    )
    found = metrics.link.rate_error_pct
    assert (found.p50, found.max) == pytest.approx((1.0, 3.0))
    assert found.p95 == pytest.approx(2.8)
    assert found.p99 is None


def test_delay_and_lateness_are_of_the_worst_link(tmp_path: Path) -> None:
    late = {"p50": 1e6, "p99": 3e6}
    metrics = measured(
        tmp_path,
        SyntheticCell(link={"delay_error_ns": late, "step_lateness_ns": {"p50": 5e5, "p99": 4e6}}),
        SyntheticCell(),
    )
    assert (metrics.link.delay_error_ms.p50, metrics.link.delay_error_ms.p99) == (1.0, 3.0)
    assert (metrics.link.step_lateness_ms.p50, metrics.link.step_lateness_ms.p99) == (0.5, 4.0)
    assert metrics.warnings == ["added delays were off by 3.00 ms (p99), more than 1"]


def test_nothing_measured_is_null(tmp_path: Path) -> None:
    nothing = {"rate_error": [], "step_lateness_ns": None}
    metrics = measured(tmp_path, SyntheticCell(link=nothing))
    assert metrics.link.rate_error_pct.p50 is None
    assert metrics.link.step_lateness_ms.p99 is None
    assert metrics.warnings == []


@pytest.mark.parametrize(
    ("link", "warning"),
    [
        (
            {"rate_error": [0.02, 0.02]},
            "the bottleneck's rate was off by 2.0 % (median of the stretches with a backlog), more "
            "than 1",
        ),
        (
            {"step_lateness_ns": {"p50": 0, "p99": 9e6}},
            "the trace was replayed 9.0 ms late (p99), more than 5",
        ),
    ],
)
def test_untrue_links_are_warned_of(tmp_path: Path, link: Mapping[str, Any], warning: str) -> None:
    assert measured(tmp_path, SyntheticCell(link=link)).warnings == [warning]


def test_a_starved_machine_and_the_cells_own_warnings_are_passed_on(tmp_path: Path) -> None:
    cpu = [
        {"at_ns": 0, "busy": 1.0, "steal": 0.2, "softirq": 0},
        {"at_ns": 1, "busy": 0.94, "steal": 0, "softirq": 0},
    ]
    warnings = measured(
        tmp_path, SyntheticCell(cpu=cpu, warnings=["relay link: lost records"])
    ).warnings
    assert warnings == [
        "000-bbr-r0: the host took 10% of the processors (steal)",
        "000-bbr-r0: the processors were 97% busy; starvation looks like congestion",
        "000-bbr-r0: relay link: lost records",
    ]
