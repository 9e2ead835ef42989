"""The files: table, Markdown and page, from rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.league import build
from analysis.league.figures import pareto_front
from analysis.league.table import SCHEMA, read_table, to_table
from analysis.league.text import number, with_interval
from tests.analysis.league.rows import row


def rows():
    schemes = {"policy": 1.0, "policy:llm": 1.2, "policy:gru": 1.5, "bbr": 3.0, "cubic": 4.0}
    return [
        row(
            f"{trace}{traffic}",
            scheme,
            family="<lte>" if trace < "d" else "wifi",
            traffic=traffic,
            flow=traffic,
            qdelay_p95_ms=worse * 10 + place,
            on_time_mbps=7.0 - worse / 10 if traffic == "video" else None,
            bitrate_mbps=8.0 - worse / 10 if traffic == "video" else None,
            throughput_mbps=7.0,
            utilisation=0.8,
            stall_100=worse / 100 if traffic == "video" else None,
            stall_200=0.0 if traffic == "video" else None,
        )
        for place, trace in enumerate("abcdef")
        for traffic in ("video", "bulk")
        for scheme, worse in schemes.items()
    ]


def test_the_three_files(tmp_path):
    build(tmp_path, to_table(rows()), ["a note with | and <b>"])
    assert read_table(tmp_path / "league.parquet").num_rows == 60
    text = (tmp_path / "league.md").read_text()
    assert (
        "| ↑ on-time bitrate Mbit/s | **6.90 [6.90, 6.90]**<br>Δ +0.20 [+0.20, +0.20]<br>" in text
    )
    assert "| ↓ stalls >100 ms % | 1.00 [1.00, 1.00]<br>Δ −2.00 [−2.00, −2.00]<br>" in text
    assert text.index("on-time bitrate") < text.index("throughput") < text.index("stalls")
    assert "To reach" not in text
    assert "a note with \\| and" in text
    page = (tmp_path / "league.html").read_text()
    assert "&lt;lte&gt;: video" in page
    assert "<lte>" not in page
    assert "a note with | and &lt;b&gt;" in page
    assert 'id="pareto-video"' in page
    assert "http://" not in page.split("<script>")[0]


def test_the_same_table_gives_the_same_text(tmp_path):
    (tmp_path / "again").mkdir()
    build(tmp_path, to_table(rows()), [])
    build(tmp_path / "again", to_table(list(reversed(rows()))), [])
    assert (tmp_path / "league.md").read_text() == (tmp_path / "again" / "league.md").read_text()


def test_mistakes_are_named(tmp_path):
    with pytest.raises(AnalysisError, match="no cell of this league has finished"):
        build(tmp_path, to_table([]), [])
    with pytest.raises(AnalysisError, match="--baseline vegas: no cell has it"):
        build(tmp_path, to_table(rows()), [], "vegas")
    with pytest.raises(AnalysisError, match="missing or unknown wrong"):
        to_table([row("a", "bbr") | {"wrong": 1}])
    (tmp_path / "x.parquet").write_bytes(b"no")
    with pytest.raises(AnalysisError, match="not a readable Parquet file"):
        read_table(tmp_path / "x.parquet")


def test_pareto_front():
    points = [(5.0, 1.0), (1.0, 2.0), (3.0, 2.0), (2.0, 5.0), (9.0, 6.0)]
    assert pareto_front(points) == [1, 3, 4]


def test_numbers():
    assert number(-1.25, 1) == "−1.2"
    assert number(float("inf"), 1) == "∞"
    assert with_interval(0.5, (0.25, float("inf")), 1, factor=100, sign=True) == "+50.0 [+25.0, ∞]"


def test_the_document_has_every_column():
    text = (Path(__file__).parents[3] / "docs" / "reference" / "league.md").read_text()
    assert [name for name in SCHEMA.names if f"`{name}`" not in text] == []
