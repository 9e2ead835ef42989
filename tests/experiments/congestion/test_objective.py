"""Which settings are as good as BBR and CUBIC, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from experiments.congestion.objective import (
    judgement,
    main,
    means,
    not_as_good,
    settings_of,
    tables,
)

GRID = """
traces:
- {generate: lte, seeds: [1], duration: 5s}
- {generate: wifi, seeds: [1], duration: 5s}
controllers: ["observe:bbr"]
rtt: [20ms]
buffer: [4bdp]
traffic: [{flow: video}]
per_trace: 1
duration: 2s
splits: {validation: [lte-seed1], test: [wifi-seed1]}
seed: 1
"""


def mean(bitrate_mbps: float, stalls: float, queueing_ms: float = 100.0) -> dict[str, float]:
    return {
        "bitrate_bps": bitrate_mbps * 1e6,
        "on_time_bps": bitrate_mbps * 5e5,
        "stall_100ms": stalls,
        "stall_200ms": stalls / 2,
        "stall_500ms": 0.0,
        "queueing_p95_ms": queueing_ms,
    }


def row(name: str, all_: dict[str, float], lte: dict[str, float]) -> dict[str, object]:
    line, _, _ = name.rpartition("@")
    return {"name": name, "line": line, "objective": 0.5, "mean": {"all": all_, "lte": lte}}


def test_the_mean_of_each_family_and_of_all_flows() -> None:
    found = means({"stall_100ms": np.array([0.1, 0.2, 0.6])}, np.array(["lte", "lte", "wifi"]))
    assert found["all"]["stall_100ms"] == pytest.approx(0.3)
    assert found["lte"]["stall_100ms"] == pytest.approx(0.15)
    assert found["wifi"]["stall_100ms"] == pytest.approx(0.6)


def test_a_setting_is_as_good_where_nothing_is_worse() -> None:
    bbr = row("bbr", mean(2.0, 0.2), mean(2.0, 0.2))
    better = row("llm@1", mean(2.1, 0.2), mean(2.0, 0.1))
    mixed = row("llm@0", mean(1.9, 0.1), mean(2.0, 0.3, queueing_ms=90.0))
    assert not_as_good(better["mean"], bbr["mean"], "all") == []  # type: ignore[arg-type]
    verdicts = judgement([bbr, better, mixed])
    assert [(v["setting"], v["against"], v["worse"]) for v in verdicts] == [
        ("llm@1", "bbr", {}),
        ("llm@0", "bbr", {"all": ["bitrate_bps"], "lte": ["stall_100ms", "stall_200ms"]}),
    ]
    assert "| llm@1 | bbr | nothing | nothing |" in tables({"settings": [bbr, better, mixed]})


def test_each_candidate_has_all_objectives() -> None:
    chosen = settings_of(["gru=runs/gru"], [0.0, 0.7])
    assert [(s.name, s.tier, s.objective) for s in chosen[2:]] == [
        ("gru=runs/gru@latency", "gru", 0.0),
        ("gru=runs/gru@0.7", "gru", 0.7),
    ]
    assert chosen[2].checkpoint == Path("runs/gru")


def test_the_command_measures_the_grids_validation_traces_alone(tmp_path: Path) -> None:
    grid, out = tmp_path / "grid.yaml", tmp_path / "out"
    grid.write_text(GRID)
    command = [str(grid), "persistence", "--out", str(out), "--objectives", "0,1", "--seconds", "1"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert [path.name for path in (out / "traces").iterdir()] == ["lte-seed1.parquet"]
    text = (out / "table.md").read_text()
    assert "persistence@latency" in text
    assert "persistence@throughput" in text
    assert (out / "figure.svg").exists()


def test_a_wrong_objective_is_said(tmp_path: Path) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRID)
    command = [str(grid), "--out", str(tmp_path), "--objectives", "0,2"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "objective '2'" in result.output
