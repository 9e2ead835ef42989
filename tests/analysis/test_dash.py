"""Metrics of streaming sessions against a case worked out by hand, and their part of the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly.subplots import make_subplots

from analysis.measure import measure
from analysis.report import build
from analysis.report.sessions import bands, pairings, timelines
from analysis.run import load_run
from analysis.statistics import MIN_CELLS
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.network import Model
from policy.tasks.abr.play import play
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video
from tests.analysis.synthetic import (
    CHUNKS,
    SESSIONS,
    START_NS,
    S,
    SyntheticCell,
    bulk_cell,
    row,
    write_run,
)


def chunk(number: int, level: int, last_s: float, **values: Any) -> dict[str, Any]:
    """A chunk of 4 s at 1 or 2 Mbit/s that took a second."""
    facts: dict[str, Any] = {
        "bitrate_kbps": 1000.0 * (level + 1),
        "utility": float(level + 1),
        "size_bytes": 500_000 * (level + 1),
        "request_ns": START_NS + round((last_s - 1) * S),
        "first_byte_ns": START_NS + round((last_s - 0.95) * S),
        "last_byte_ns": START_NS + round(last_s * S),
        "buffer_s": 4.0,
        "throughput_bps": 4e6,
        "source": "rule",
        "decision_ns": 2_000_000,
    }
    return row(CHUNKS, chunk=number, level=level, **{**facts, **values})


def dash_cell(
    chunks: list[dict[str, Any]], abr: str = "", repeat: int = 0, **session: Any
) -> SyntheticCell:
    facts: dict[str, Any] = {
        "abr": abr,
        "chunk_s": 4.0,
        "stall_per_s": 2.0,
        "switch": 1.0,
        "start_ns": START_NS,
        "started_ns": START_NS + S,
        "ended": "stopped",
        "open_stall_s": 0.0,
    }
    cell = bulk_cell("bbr", 6, 10, repeat=repeat, seed=repeat)
    logs = {**cell.logs, "chunks": chunks, "sessions": [row(SESSIONS, **{**facts, **session})]}
    return replace(
        cell, abr=abr, logs=logs, flows=({"kind": "dash", "stop_ns": START_NS + 20 * S},)
    )


PLAYED = [
    chunk(0, 0, 1.0, source="start"),
    chunk(1, 1, 6.0, rebuffer_s=1.0, source="policy"),
    chunk(2, 1, 9.0, buffer_s=5.0, source="policy"),
    chunk(3, 0, 12.0, buffer_s=6.0, source="fallback"),
]


def test_a_session_by_hand(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "run", [dash_cell(PLAYED, open_stall_s=0.5)]))
    found = measure(run).cells[0].dash
    assert found is not None
    # Utilities 2, 2, 1, changes 1, 0, 1, and 1.5 s of stall at 2 a second.
    assert found.qoe == pytest.approx((5 - 2 - 3) / 3)
    assert found.bitrate_mbps == pytest.approx(5 / 3)
    assert found.stall_ratio == pytest.approx(1.5 / 13.5)
    assert (found.switches, found.chunks, found.whole) == (2, 4, False)
    assert found.startup_s == 1.0
    assert found.policy_share == pytest.approx(2 / 3)
    assert found.fallback_share == pytest.approx(1 / 3)
    assert found.choice_ms.p50 == 2.0


def test_a_fallback_in_the_policys_place_is_a_doubt(tmp_path: Path) -> None:
    metrics = measure(load_run(write_run(tmp_path / "run", [dash_cell(PLAYED)])))
    (doubt,) = metrics.doubts
    assert (doubt.cc, doubt.short) == ("bbr", "33% fallback")
    assert doubt.text.startswith("33% of the levels that the policy was asked for were")
    own = [one | {"source": "policy"} for one in PLAYED]
    assert not measure(load_run(write_run(tmp_path / "own", [dash_cell(own)]))).doubts


def test_a_session_that_never_started(tmp_path: Path) -> None:
    cell = dash_cell([], started_ns=None)
    found = measure(load_run(write_run(tmp_path / "run", [cell]))).cells[0].dash
    assert found is not None
    assert (found.qoe, found.bitrate_mbps, found.stall_ratio, found.startup_s) == (None,) * 4
    assert (found.chunks, found.switches) == (0, 0)
    build(tmp_path / "run")


def test_it_is_the_simulators_measure(tmp_path: Path) -> None:
    """A simulated session, logged as a player logs it, has the simulator's own figures."""
    rates = np.array([300.0, 900.0, 2700.0])
    video = Video("v", 4000, rates, np.outer(np.linspace(0.7, 1.3, 12), rates * 500))
    trace = Bandwidth("t", np.arange(40.0), 0.3 + np.abs(np.sin(np.arange(40.0) / 5)))

    def fresh() -> Any:
        return start(video, pack([trace]), model=Model.SESSION, rtt_ms=40)

    expected = play(make_rule("bba:reservoir_s=1,cushion_s=3"), fresh())
    sessions, rule = fresh(), make_rule("bba:reservoir_s=1,cushion_s=3")
    rows = [chunk(0, 1, 1.0, bitrate_kbps=900.0, utility=0.9)]
    while not sessions.done:
        level = rule.decide(sessions)
        step = sessions.step(level)
        rate = float(rates[level[0]])
        values = {"bitrate_kbps": rate, "utility": rate / 1000}
        stall_s = float(step.stall_ms[0]) / 1000
        rows.append(chunk(len(rows), int(level[0]), 2.0, rebuffer_s=stall_s, **values))
    cell = dash_cell(rows, stall_per_s=float(rates[-1]) / 1000, ended="over")
    found = measure(load_run(write_run(tmp_path / "run", [cell]))).cells[0].dash
    assert found is not None
    assert expected.stall_s[0] > 0
    assert found.qoe == pytest.approx(expected.qoe[0])
    assert found.stall_ratio == pytest.approx(expected.stall_ratio[0])
    assert found.switches == expected.switches[0]
    assert found.bitrate_mbps == pytest.approx(expected.bitrate_kbps[0] / 1000)
    assert found.whole


def test_choosers_are_paired_within_their_controller(tmp_path: Path) -> None:
    cells = []
    for repeat in range(MIN_CELLS):
        slow = [chunk(number, 0, 1.0 + number) for number in range(4)]
        cells += [
            dash_cell(PLAYED, "bola", repeat),
            dash_cell(slow, "robust-mpc", repeat),
        ]
    run = load_run(write_run(tmp_path / "run", cells))
    (pairing,) = pairings(measure(run))
    # (5 - 2 - 2) / 3 against 1.
    assert (pairing.cc, pairing.abr, pairing.baseline) == ("bbr", "bola", "robust-mpc")
    assert (pairing.pairs, pairing.difference) == (MIN_CELLS, pytest.approx(1 / 3 - 1))
    assert pairing.ci95 == (pytest.approx(1 / 3 - 1), pytest.approx(1 / 3 - 1))
    metrics = build(tmp_path / "run")
    assert {entry.cc for entry in metrics.summary} == {"bbr + bola", "bbr + robust-mpc"}
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Streaming sessions" in page
    assert "-0.667 [-0.667, -0.667]" in page
    assert "Session: bbr + bola" in page


def test_the_timeline_falls_and_rises_with_the_buffer(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "run", [dash_cell(PLAYED)]))
    ((name, title, figure),) = timelines(run.cells, {"bbr": "#000000"})
    assert (name, title) == ("session-000-bbr-r0-0", "bbr")
    buffer = figure.data[0]
    points = dict(zip(buffer.x, buffer.y, strict=True))
    assert points[5.0] == 0.0  # empty, a second before chunk 1
    assert points[9.0] == 5.0
    assert points[18.0] == 0.0  # what was left has played
    assert {(shape.x0, shape.x1) for shape in figure.layout.shapes} == {(5.0, 6.0)}


def test_stalls_are_shaded_in_every_row_as_plotly_would_one_by_one() -> None:
    spans_s = [(1.0, 1.5), (4.0, 9.0)]
    figure, one_by_one = (make_subplots(rows=3, cols=1, shared_xaxes=True) for _ in range(2))
    for number in (1, 2, 3):
        one_by_one.add_scatter(x=[0.0], y=[0.0], row=number, col=1)
    for begin, end in spans_s:
        one_by_one.add_vrect(x0=begin, x1=end, fillcolor="rgba(200,30,30,0.25)", line_width=0)
    bands(figure, spans_s)
    assert figure.layout.shapes == one_by_one.layout.shapes
    assert len(figure.layout.shapes) == 6
