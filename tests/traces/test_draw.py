"""Drawing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from traces import Steps, Trace, load
from traces.draw import default_window_ns, text_chart, write_html

S = 1_000_000_000


def test_text_chart_by_hand() -> None:
    trace = Trace("t", 4 * S, Steps(np.arange(4) * S, np.array([8e6, 0, 4e6, 0.01e6])))
    lines = text_chart(trace, width=4, height=2)
    assert [line.split("│")[1] for line in lines[:2]] == ["█   ", "█ █▁"]
    assert lines[0].startswith("       8 ")
    assert lines[-1].split() == ["0", "4", "s"]


def test_a_single_opportunity_at_the_end_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1000\n")
    assert "█" in "".join(text_chart(load(tmp_path / "one"), width=68))


def test_html_is_self_contained(tmp_path: Path) -> None:
    path = tmp_path / "plot.html"
    trace = load("satellite")
    write_html(trace, default_window_ns(trace), path)
    text = path.read_text()
    assert "one-way delay (ms)" in text
    assert 'src="http' not in text
