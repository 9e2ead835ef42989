"""The proof that ordinary links are as they were: which traces, which links, what counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from experiments.congestion.closed_loop import RTTS_MS
from experiments.congestion.ordinary import changed, links_of, main
from traces import constant

GRID = """
traces:
- {generate: lte, seeds: [1, 2, 3], duration: 3s, name: lte}
controllers: [policy:gcc]
splits: {validation: [lte-seed1], test: [lte-seed2]}
"""


def test_every_trace_is_met_at_every_rtt() -> None:
    links = links_of([constant(1e6), constant(8e6)], 1)
    assert links.rtt_ms.tolist() == [rtt for rtt in RTTS_MS for _ in range(2)]
    assert links.capacity_bps.shape == (1000, 6)
    np.testing.assert_allclose(links.capacity_bps[0], [1e6, 8e6] * 3)
    np.testing.assert_allclose(links.buffer_bytes[-2:], [60_000, 480_000])


def test_a_flow_counts_once_whatever_changed_of_it() -> None:
    before = {"a": [1.0, 2.0, 3.0], "b": [0.0, 0.0, 0.0]}
    assert changed(before, {name: np.array(each) for name, each in before.items()}) == 0
    assert changed(before, {"a": [1.0, 2.0, 3.1], "b": [0.0, 1e-12, 1.0]}) == 2


def test_the_same_twice_has_changed_nothing(tmp_path: Path) -> None:
    grid, out = tmp_path / "grid.yaml", tmp_path / "before.json"
    grid.write_text(GRID)
    short = [str(grid), "--seconds", "1"]
    assert CliRunner().invoke(main, [*short, "--out", str(out)]).exit_code == 0
    assert len(json.loads(out.read_text())["video"]["utilisation"]) == len(RTTS_MS)
    again = CliRunner().invoke(main, [*short, "--than", str(out)])
    assert "video: 0 of 3 flows changed\nbulk: 0 of 3 flows changed\n" in again.output
