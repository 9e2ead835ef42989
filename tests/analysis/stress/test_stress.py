"""Rows of a stress test: recovery, verdicts, and the files made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.diagnosis.windows import Windows
from analysis.run import load_run
from analysis.stress import build, judge, text
from analysis.stress.against import against, collapses
from analysis.stress.measure import measured, recovery_s
from analysis.stress.report import lines
from tests.analysis.synthetic import SyntheticCell, frame, received, steady_packets, write_run
from traces.model import constant


def windows(own_bps: list[float], **columns: list[float]) -> Windows:
    count = len(own_bps)
    floats = ("others_bps", "queue_ms", "lost", "sent", "app_limited", "asked_bps", "service_ms")
    made: dict[str, Any] = {name: np.zeros(count) for name in (*floats, "busy")}
    made |= {name: np.zeros(count, bool) for name in ("late", "local", "llm", "stalled")}
    made |= {name: np.asarray(values) for name, values in columns.items()}
    return Windows(
        start_s=np.arange(count) / 10,
        capacity_bps=np.full(count, 8e6),
        own_bps=np.asarray(own_bps, float),
        active=np.ones(count, bool),
        **made,
    )


def test_recovery_is_the_first_whole_second_of_what_was_usual() -> None:
    # 2 s at 4 Mbit/s, 1 s of nothing, 1.5 s at a quarter, then as before.
    own = [4e6] * 20 + [0.0] * 10 + [1e6] * 15 + [4e6] * 25
    # The second from 3.8 s on delivers (7 x 1 + 3 x 4) / 10 = 1.9 Mbit/s, that from 3.9 s on
    # (6 x 1 + 4 x 4) / 10 = 2.2: more than the half that is asked for.
    assert recovery_s(windows(own), 2.0, 3.0) == pytest.approx(0.9)
    # Half of a second in stalls is allowed, and no more.
    half = [False] * 39 + [True] * 5 + [False] * 26
    assert recovery_s(windows(own, stalled=half), 2.0, 3.0) == pytest.approx(0.9)
    more = [False] * 39 + [True] * 6 + [False] * 25
    assert recovery_s(windows(own, stalled=more), 2.0, 3.0) == pytest.approx(1.0)
    assert recovery_s(windows(own, queue_ms=[0.0] * 40 + [150.0] * 30), 2.0, 3.0) is None


def row(cc: str, **changes: Any) -> dict[str, Any]:
    base = {
        "failures": "loss",
        "cc": cc,
        "seed": 1,
        "flows": 2,
        "flows_lost": 0,
        "recovery_s": 1.0,
        "utilisation_during": 0.8,
        "utilisation_after": 0.9,
        "stalled_during": 0.1,
        "stalled_after": 0.0,
        "on_time_during": 0.5,
        "on_time_after": 0.95,
        "deadline_miss_during": None,
        "deadline_miss_after": None,
        "warnings": "",
    }
    return {**base, **changes}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"flows_lost": 1}, "1 of 2 flows are lost"),
        ({"recovery_s": None}, "does not recover"),
        ({"recovery_s": 4.5}, "recovers after 4.5 s"),
        ({"utilisation_during": 0.39}, "uses 39% of the link during the failures, bbr 80%"),
        ({"utilisation_after": 0.46}, None),
        ({"utilisation_after": 0.44}, "uses 44% of the link after the failures, bbr 90%"),
        # Without its server it is held against the same failures of the network.
        ({"failures": "loss+server", "utilisation_during": 0.39}, "bbr 80%"),
        # Nobody ran under these failures: only what is absolute counts.
        ({"failures": "capacity", "utilisation_during": 0.01}, None),
    ],
)
def test_verdicts(changes: dict[str, Any], reason: str | None) -> None:
    rows = [row("policy", **changes), row("bbr"), row("cubic", utilisation_during=0.1)]
    judged = judge(rows)
    assert judged[0]["collapse"] == (reason is not None)
    if reason is not None:
        assert reason in "; ".join(judged[0]["reasons"])
    assert not judged[1]["collapse"]
    assert judged[2]["collapse"]


def test_files_hold_the_rows_their_verdicts_and_the_rules(tmp_path: Path) -> None:
    grid = {
        "flows": 2, "flow": "video", "rate": "8mbit", "rtt": "20ms", "buffer": "4bdp",
        "seeds": [1, 2], "before": "4s", "during": "4s", "after": "6s", "loss": 0.3,
        "burst": "40ms", "capacity": 0.02, "flap": "500ms", "detour_rtt": "200ms",
        "reverse": "2mbit",
    }  # fmt: skip
    rows = [row("policy"), row("policy", seed=2, recovery_s=None), row("bbr", warnings="<busy>")]
    judged = build(tmp_path, rows, grid, "tbtest stress", 6)
    record = json.loads((tmp_path / "stress.json").read_text())
    assert record["rows"] == judged
    assert "collapses where" in record["rules"]
    page = (tmp_path / "stress.html").read_text()
    assert "collapse in 1 of 2" in page
    assert "&lt;busy&gt;" in page
    assert "3 of 6 cells" in page
    markdown = (tmp_path / "stress.md").read_text()
    assert "| loss | policy | 2 | 80; 90 | 50; 95 | – | collapse in 1 of 2 |" in markdown
    assert "| policy | 2 | 1 | 1 |" in markdown  # seed 2 has no rival that could collapse too
    assert "| policy | bbr | 1 | +0; +0 | +0; +0 |" in markdown
    assert "collapse: loss, policy, seed 2: a flow does not recover" in text(judged)


def test_lines_are_medians_and_five_seeds_have_intervals() -> None:
    recoveries = [0.4, None, 0.6, 0.2, 5.0]
    rows = [
        row("bbr", seed=seed, utilisation_during=seed / 10, recovery_s=recovery_s)
        for seed, recovery_s in enumerate(recoveries, 1)
    ]
    (line,) = lines(judge(rows))
    assert (line["medians"][0], line["medians"][6]) == ("30", "0.6")
    # Of five values the bootstrap's median is the least or largest in over 2.5 % of resamples.
    assert line["cells"][0] == "30 [10, 50]"
    assert line["cells"][6] == "0.6 [0.2, –]"
    assert line["verdict"] == "collapse in 2 of 5"
    assert lines(judge(rows[:4]))[0]["cells"][0] == "25"


def test_collapses_are_counted_where_no_rival_collapses_too() -> None:
    """The policy collapses under both; bbr and cubic only under the second."""
    rows = [
        row(cc, failures=name, recovery_s=None if cc == "policy" or name == "route" else 1.0)
        for name in ("loss", "route")
        for cc in ("policy", "bbr", "cubic")
    ]
    assert collapses(judge(rows)) == [
        {"cc": "policy", "cells": 2, "collapsed": 2, "alone": 1},
        {"cc": "bbr", "cells": 2, "collapsed": 1, "alone": 0},
        {"cc": "cubic", "cells": 2, "collapsed": 1, "alone": 0},
    ]


def test_differences_are_of_pairs_and_resample_sets_of_failures() -> None:
    rows = [
        row(cc, failures=f"{number}", utilisation_during=0.5 + 0.1 * number * (cc == "policy"))
        for number in range(6)
        for cc in ("policy", "bbr")
    ]
    (line,) = against(judge(rows))
    assert (line["cc"], line["rival"], line["pairs"]) == ("policy", "bbr", 6)
    # Differences of 0, 10, ..., 50 points: the median is 25.
    assert line["cells"][0].startswith("+25 [+")
    assert line["cells"][1] == "+0 [+0, +0]"


def test_a_runs_row_is_measured_in_its_phases(tmp_path: Path) -> None:
    """6 s of 8 Mbit/s on 10; from 3 to 4 s no frame is shown, and those of then come late."""
    frames = [
        frame(i, ms, shown_ms=None if 3000 < ms < 4000 else ms + 50)
        for i, ms in enumerate(range(0, 6000, 50))
    ]
    logs = {
        "packets": steady_packets(8, 6, 10),
        "frames": frames,
        "goodput": [received(6_000_000, 6)],
    }
    cell = SyntheticCell(duration_s=6, flows=({"kind": "video"},), logs=logs)
    run = load_run(write_run(tmp_path / "run", [cell], trace=constant(10e6)))
    found = measured(run.cells[0], 3.0, 4.0)
    for phase in ("before", "during"):
        assert found[f"utilisation_{phase}"] == pytest.approx(0.8, abs=0.02)
    assert found["on_time_before"] == 1
    assert found["on_time_during"] == pytest.approx(1 / 20)
    assert found["stalled_during"] == 1
    assert found["stalled_before"] == 0
    assert found["recovery_s"] == 0
    assert found["flows"] == 1
    assert found["flows_lost"] == 0
    assert found["deadline_miss_during"] is None
