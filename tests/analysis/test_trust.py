"""A policy's column that holds no policy says so, whatever the reason."""

from __future__ import annotations

from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis.measure import measure
from analysis.report import build
from analysis.run import load_run
from analysis.tables import summary_table
from tests.analysis.synthetic import DECISIONS, EVENTS, MS, START_NS, SyntheticCell, row, write_run

# 1040 ms less a round trip of 40 ms: ten windows.
DURATION_S = 1.04
WINDOWS = range(1, 11)
APC = {"policy": "apc", "difficult_tier": "llm", "refused_flows": 0, "dropped_records": 0}


def answer(window: int, tier: str = "persistence", *, missed: bool = False) -> dict[str, Any]:
    end_ns = START_NS + 100 * MS * window
    return row(
        DECISIONS,
        generation=1,
        window=window,
        window_end_ns=end_ns,
        close_ack_ns=end_ns,
        applied_ns=end_ns + 4 * MS,
        pacing_rate_bps=5e6,
        tier=tier,
        deadline_missed=missed,
    )


def control(at_ms: float, detail: str) -> dict[str, Any]:
    return row(EVENTS, at_ns=START_NS + round(at_ms * MS), event="control", detail=detail)


def policy_cell(
    decisions: list[dict[str, Any]], events: list[dict[str, Any]] | None = None, cc: str = "policy"
) -> SyntheticCell:
    logs = {"decisions": decisions, "events": events or []}
    return SyntheticCell(cc=cc, duration_s=DURATION_S, logs=logs)


def warnings(folder: Path, cell: SyntheticCell, **agent: Any) -> list[str]:
    """Those of a run with this cell, whose agent said APC's summary but for what is given."""
    cell.agent = APC | agent
    return measure(load_run(write_run(folder, [cell]))).warnings


GOOD = [
    answer(window, tier)
    for window in WINDOWS
    for tier in (("persistence", "llm") if window % 2 else ("persistence",))
]


def test_a_policy_that_answered_is_not_warned_of(tmp_path: Path) -> None:
    assert warnings(tmp_path / "run", policy_cell(GOOD)) == []


def test_a_kernels_controller_is_not_asked_for_decisions(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [SyntheticCell(cc="bbr")])
    assert measure(load_run(folder)).warnings == []


ROWS = {
    "a server that nobody can reach": (
        policy_cell([answer(window, "local") for window in WINDOWS]),
        {},
        "100% of the answers were the agent's own fallback",
    ),
    "a server killed or stopped on the way": (
        policy_cell([*GOOD[:4], *(answer(window, "local") for window in range(4, 11))]),
        {},
        "of the answers were the agent's own fallback",
    ),
    "no PyTorch": (
        policy_cell([answer(window) for window in WINDOWS]),
        {"difficult_tier": ""},
        "the light policy decided alone: the server had no model for difficult flows",
    ),
    "no slot": (
        policy_cell([]),
        {"refused_flows": 77},
        "77 flows found no slot; the kernel's algorithm controlled them",
    ),
    "no slot, seen at the flow": (
        policy_cell([]),
        {"refused_flows": 77},
        "no decision reached the flow; the kernel's algorithm controlled it",
    ),
    "an agent that stood still": (
        policy_cell(GOOD[:6], [control(100, "agent"), control(520, "kernel bbr")]),
        {},
        "the kernel's algorithm controlled it for 0.5 s after the first decision",
    ),
    "windows that nobody answered": (
        policy_cell(GOOD[:6]),
        {},
        "60% of the 10 windows had no answer in time",
    ),
    "answers too late": (
        policy_cell([answer(window, "llm", missed=window > 9) for window in WINDOWS]),
        {},
        "10% of the 10 windows had no answer in time",
    ),
    "records lost": (
        policy_cell(GOOD),
        {"dropped_records": 3},
        "3 records were lost on the way to the agent",
    ),
    "a datapath that nobody asked for": (
        policy_cell(GOOD),
        {"portable_because": "no BTF in this kernel"},
        "the tcpinfo datapath stood in for eBPF, which could not be had: no BTF in this kernel",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_was_no_policy_is_said_first(name: str, tmp_path: Path) -> None:
    cell, agent, text = ROWS[name]
    found = warnings(tmp_path / "run", cell, **agent)
    assert any(warning.startswith("000-policy-r0: ") and text in warning for warning in found)


def test_two_in_a_hundred_are_no_reason(tmp_path: Path) -> None:
    cell = policy_cell([answer(window) for window in range(1, 101)], cc="policy:persistence")
    cell.duration_s = 10.04
    cell.logs["decisions"][98:] = [answer(99, "local"), answer(100, "local")]
    assert warnings(tmp_path / "two", cell, policy="persistence") == []
    cell.logs["decisions"][97:] = [answer(98, "local"), answer(99, "local"), answer(100, "local")]
    (text,) = warnings(tmp_path / "three", cell, policy="persistence")
    assert "3% of the answers were the agent's own fallback" in text


def test_several_flows_are_told_apart(tmp_path: Path) -> None:
    cell = policy_cell(GOOD)
    cell.flows = [{}, {}]
    (text,) = warnings(tmp_path / "run", cell)
    assert text.startswith("000-policy-r0: flow 1: no decision reached the flow")


@pytest.mark.parametrize("name", ROWS)
def test_table_and_page_say_so_under_the_policys_name(name: str, tmp_path: Path) -> None:
    cell, agent, text = ROWS[name]
    cell.agent = APC | agent
    folder = write_run(tmp_path / "run", [SyntheticCell(cc="bbr"), cell])
    metrics = build(folder)
    doubt = metrics.doubts[0]
    assert doubt.cc == "policy"
    console = Console(width=200, file=StringIO())
    console.print(summary_table(metrics))
    assert isinstance(console.file, StringIO)
    assert f"! {doubt.short}" in console.file.getvalue()
    page = unescape((folder / "report.html").read_text())
    assert page.index("Read these results with care") < page.index(text) < page.index("Summary")
    assert f"! {doubt.short}</small>" in page
    assert page.count('class="doubt"') == 1  # under no other controller's name


def test_a_web_flow_has_no_windows_between_its_transfers(tmp_path: Path) -> None:
    few = policy_cell(GOOD[:2])
    assert any("had no answer in time" in text for text in warnings(tmp_path / "bulk", few))
    few.flows = ({"kind": "web"},)
    assert not any("had no answer in time" in text for text in warnings(tmp_path / "web", few))
