"""`tbtest report` and `tbtest compare` on run folders made by hand; no root."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis.metrics.schema import Metrics
from testbed.cli import cli
from tests.analysis.synthetic import SyntheticCell, bulk_cell, write_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cells = [
        bulk_cell("cubic", 4, 40),
        bulk_cell("bbr", 6, 5),
        SyntheticCell(cc="reno", status="interrupted"),
    ]
    cells[0].warnings = ["odd [/markup] in a warning"]
    return write_run(tmp_path / "run", cells)


def test_report_prints_the_table_and_rebuilds_the_files(folder: Path) -> None:
    result = CliRunner().invoke(
        cli, ["report", str(folder)], env={"COLUMNS": "200"}, catch_exceptions=False
    )
    assert result.exit_code == 0
    header = next(line for line in result.output.splitlines() if "cubic" in line)
    assert header.index("bbr") < header.index("cubic")
    rate = next(line for line in result.output.splitlines() if "throughput" in line)
    assert "6.00" in rate
    assert "4.00" in rate
    assert "cell 002-reno-r0 is interrupted, left out" in result.output
    assert "odd [/markup] in a warning" in result.output
    assert f"report: {folder / 'report.html'}" in result.output
    assert (folder / "report.html").stat().st_size > 100_000


def test_report_as_json_is_metrics_json(folder: Path) -> None:
    result = CliRunner().invoke(cli, ["report", str(folder), "--json"], catch_exceptions=False)
    assert Metrics.model_validate_json(result.output) == Metrics.model_validate_json(
        (folder / "metrics.json").read_text()
    )


def test_compare(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    arguments = ["compare", str(folder), str(folder), "--baseline", "cubic", "--out", str(page)]
    result = CliRunner().invoke(cli, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert result.exit_code == 0
    assert "minus cubic" in result.output
    assert "+2.00" in result.output
    assert page.stat().st_size > 100_000
    as_json = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    data = json.loads(as_json.output)
    assert data["baseline"] == "cubic"
    (entry,) = [
        row for row in data["entries"] if (row["cc"], row["metric"]) == ("bbr", "throughput_mbps")
    ]
    assert entry["difference"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "no-such-run"], "no-such-run/manifest.json: missing; is this a run folder?"),
        (["compare", "no-such-run"], "no-such-run/manifest.json: missing"),
        (["report"], "Missing argument 'RUN'"),
    ],
)
def test_mistakes_are_one_line_and_status_2(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_broken_cell_is_one_line_that_names_the_file(folder: Path) -> None:
    broken = folder / "cells" / "000-cubic-r0" / "packets.parquet"
    broken.write_bytes(b"nothing")
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "report", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(broken) in done.stderr


@pytest.fixture
def repeated(tmp_path: Path) -> Path:
    """Five repeats of two controllers, of 4 and 6 Mbit/s."""
    cells = []
    for repeat in range(5):
        for cc, mbps in (("cubic", 4), ("bbr", 6)):
            cell = bulk_cell(cc, mbps, 10)
            cell.repeat, cell.seed = repeat, 100 + repeat
            cells.append(cell)
    return write_run(tmp_path / "repeated", cells)


@pytest.mark.parametrize(
    ("expectation", "status", "told"),
    [
        ("bbr.throughput_mbps >= 1.4 * cubic.throughput_mbps", 0, "pass "),
        ("throughput_mbps >= 5", 1, "fail       throughput_mbps >= 5 [cubic]: 4 against 5"),
        ("bbr.stall_200 <= cubic.stall_200", 3, "no cell has these metrics"),
    ],
)
def test_an_expectation_is_an_exit_status(
    repeated: Path, tmp_path: Path, expectation: str, status: int, told: str
) -> None:
    junit, summary = tmp_path / "junit.xml", tmp_path / "summary.md"
    arguments = ["report", str(repeated), "--expect", expectation]
    arguments += ["--junit", str(junit), "--summary", str(summary)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == status
    assert told in result.stderr
    assert "<testsuite" in junit.read_text()
    assert summary.read_text().startswith("### tbtest repeated")


def test_a_run_is_judged_against_a_baseline(repeated: Path, tmp_path: Path) -> None:
    arguments = ["compare", str(repeated), str(repeated), "--out", str(tmp_path / "page.html")]
    same = CliRunner().invoke(cli, [*arguments, "--expect", "power >= 0.95 * baseline.power"])
    assert same.exit_code == 0
    assert same.stderr.count("pass ") == 2
    better = CliRunner().invoke(cli, [*arguments, "--expect", "power > baseline.power"])
    assert better.exit_code == 1
    alone = CliRunner().invoke(cli, [*arguments, str(repeated), "--expect", "power > 1"])
    assert "name two folders" in str(alone.exception)
    other = write_run(tmp_path / "other", [bulk_cell("bbr", 6, 5)], scenario={"duration": "9s"})
    arguments[1] = str(other)
    unlike = CliRunner().invoke(cli, [*arguments, "--expect", "power > baseline.power"])
    assert "it ran another scenario" in str(unlike.exception)
    assert "duration" in str(unlike.exception)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_folder_that_cannot_be_written_to_still_has_its_table(
    folder: Path, *, as_json: bool
) -> None:
    (folder / "metrics.json.tmp").mkdir()  # root may write to a folder without write permission
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "report", str(folder), *(["--json"] if as_json else [])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    if as_json:
        assert Metrics.model_validate_json(done.stdout).cells
    else:
        assert "throughput Mbit/s" in done.stdout
    (line,) = done.stderr.splitlines()
    assert str(folder / "metrics.json") in line
    assert "cannot be written" in line
    assert "Traceback" not in done.stderr
