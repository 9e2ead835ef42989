"""metrics.json and report.html: valid, repeatable, self-contained, and safe against hostile
names.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis.errors import AnalysisError
from analysis.metrics.schema import Metrics
from analysis.report import build
from analysis.report.decisions import mark
from tests.analysis.synthetic import (
    DECISIONS,
    EVENTS,
    MS,
    START_NS,
    SyntheticCell,
    bulk_cell,
    frame,
    packet,
    received,
    row,
    write_run,
)

HOSTILE = '</script><script>alert("1")</script><!--<img src=x onerror=alert(2)>'


class Page(HTMLParser):
    """Counts elements and collects what a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: dict[str, int] = {}
        self.loads: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] = self.elements.get(tag, 0) + 1
        self.loads += [
            value or ""
            for name, value in attrs
            if name in ("src", "href", "srcset", "data", "action")
        ]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shown = [0, 33, 66, 400, 433]
    video = SyntheticCell(
        cc="policy:gru",
        flows=[{"kind": "video"}],
        logs={
            "packets": [packet(number * 2, 5) for number in range(100)],
            "goodput": [received(150_000)],
            "frames": [frame(number, at_ms, shown_ms=at_ms) for number, at_ms in enumerate(shown)],
            "decisions": [
                row(DECISIONS, applied_ns=START_NS + MS, tier="gru", pacing_rate_bps=5e6)
            ],
            "events": [row(EVENTS, at_ns=START_NS + MS, event="open", detail="")],
        },
    )
    return write_run(tmp_path / "run", [bulk_cell("cubic", 6, 20), video])


def test_metrics_json_is_the_schema_and_repeatable(folder: Path) -> None:
    metrics = build(folder)
    text = (folder / "metrics.json").read_text()
    assert Metrics.model_validate_json(text) == metrics
    assert json.loads(text)["cells"][1]["video"]["stall_rate_100ms"] > 0
    page = (folder / "report.html").read_bytes()
    build(folder)
    assert (folder / "metrics.json").read_text() == text
    assert (folder / "report.html").read_bytes() == page
    assert not list(folder.glob("*.tmp"))


def test_the_page_loads_nothing(folder: Path) -> None:
    build(folder)
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert page.loads == []
    assert page.elements["script"] == 2
    assert not {"link", "iframe", "img", "object", "embed", "base"} & set(page.elements)
    assert not re.search(r"url\(\s*['\"]?(https?:)?//", text.partition("<script>")[0])
    assert "@import" not in text.partition("<script>")[0]
    titles = "".join(page.text)
    for title in ("Summary", "Capacity and delivered rate", "Queueing delay", "One-way delay"):
        assert title in titles
    for title in (
        "Throughput against delay",
        "Displayed frames and stalls",
        "Decisions: policy:gru",
    ):
        assert title in titles


def test_the_figures_are_json_and_show_the_stall(folder: Path) -> None:
    build(folder)
    text = (folder / "report.html").read_text()
    figures = dict(re.findall(r'^"([\w.-]+)": (\{.*\}),$', text, re.MULTILINE))
    assert {"rate", "queueing", "delay-cdf", "scatter", "frames"} <= set(figures)
    parsed = {name: json.loads(figure) for name, figure in figures.items()}
    stalls = [curve for curve in parsed["frames"]["data"] if curve["name"] == "stall"]
    assert [curve["hovertext"] for curve in stalls] == ["stall of 334 ms", "stall of 567 ms"]
    assert [curve["name"] for curve in parsed["rate"]["data"]] == [
        "capacity",
        "cubic",
        "policy:gru",
    ]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    cell = bulk_cell("bbr", 6, 20)
    cell.cc = HOSTILE
    cell.folder = "000-hostile"
    cell.warnings = [HOSTILE]
    cell.logs["decisions"] = [
        row(
            DECISIONS, applied_ns=START_NS, tier=HOSTILE, pacing_rate_bps=1e6, deadline_missed=False
        )
    ]
    cell.logs["events"] = [row(EVENTS, at_ns=START_NS, event=HOSTILE, detail=HOSTILE)]
    scenario = {"topology": HOSTILE, HOSTILE: HOSTILE}
    folder = write_run(tmp_path / "run", [cell], scenario=scenario, run_id=HOSTILE)
    build(folder)
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert page.elements["script"] == 2
    assert "img" not in page.elements
    assert page.loads == []
    assert "alert" in "".join(page.text)  # shown as it is
    data = text[text.rindex("const figures") : text.rindex("</script>")]
    assert "<" not in data.partition("const dark")[0]


def test_what_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "metrics.json.tmp").mkdir()
    with pytest.raises((AnalysisError, OSError), match=r"metrics\.json"):
        build(folder)


def test_every_event_is_a_line_with_its_text() -> None:
    figure = go.Figure()
    mark(figure, pd.Series([0.5, 2.0]), pd.Series(["open", "tier"]))
    assert [(line.x0, line.x1, line.yref) for line in figure.layout.shapes] == [
        (0.5, 0.5, "y domain"),
        (2.0, 2.0, "y domain"),
    ]
    assert [(note.x, note.text) for note in figure.layout.annotations] == [
        (0.5, "open"),
        (2.0, "tier"),
    ]
