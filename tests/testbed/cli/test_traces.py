"""tbtest traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testbed.cli.traces import traces
from traces import TraceError, load
from traces.parquet import read_provenance


@pytest.fixture(autouse=True)
def _own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(traces, arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def fails(*arguments: str) -> str:
    result = CliRunner().invoke(traces, arguments)
    assert isinstance(result.exception, TraceError), result.output + repr(result.exception)
    return str(result.exception)


def test_list() -> None:
    run("generate", "lte", "--name", "mine", "--seed", "3", "--duration", "5s")
    listed = json.loads(run("list", "--json").stdout)
    by_name = {entry["name"]: entry for entry in listed["traces"]}
    assert by_name["constant-12mbit"]["mean_mbps"] == 12
    assert by_name["mine"]["description"] == "imported: generator lte, seed 3"
    assert listed["generators"]["steps"]["parameters"]["step_s"] == 10
    text = run("list").stdout
    assert "lte-driving" in text
    assert "mine" in text


def test_show_draws_and_describes(tmp_path: Path) -> None:
    text = run("show", "steps", "--html", str(tmp_path / "plot.html")).stdout
    assert "█" in text
    assert "12.000" in text
    assert (tmp_path / "plot.html").stat().st_size > 1000
    shown = json.loads(run("show", "constant-12mbit", "--json").stdout)
    assert shown["statistics"]["std_bps"] == 0
    assert shown["statistics"]["autocorrelation"]["1"] is None
    assert shown["warnings"] == []


def test_show_of_a_trace_that_does_not_repeat(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("# period_ns: none\ntime_s,capacity_mbps\n0,5\n8,0.5\n")
    shown = json.loads(run("show", "x.csv", "--json").stdout)
    assert shown["repeats"] is False
    assert shown["statistics"]["mean_bps"] == pytest.approx((5 * 8 + 0.5 * 2) / 10 * 1e6)


def test_convert() -> None:
    run("convert", "lte-driving", "x.json", "--bin", "1s", "--scale", "2", "--clip", "30s")
    assert load("x.json").mean_bps() == pytest.approx(
        2 * load("lte-driving").clipped(30 * 10**9).mean_bps()
    )
    run("convert", "satellite", "x.csv", "--no-delay")
    satellite = load("x.csv").steps
    assert satellite is not None
    assert satellite.delay_ns is None
    assert "--bin 100ms" in fails("convert", "lte-driving", "y.json")
    assert not Path("y.json").exists()


def test_generate_to_a_file() -> None:
    run("generate", "steps", "x.csv", "--duration", "20s", "--set", "levels_mbps=[20, 5]")
    assert load("x.csv").mean_bps() == pytest.approx(12.5e6)
    assert "--name" in fails("generate", "steps")
    assert "rate_mbps=20" in fails("generate", "constant", "x.csv", "--set", "rate_mbps")
    assert "levels_mbps" in fails("generate", "steps", "x.csv", "--set", "levels_mbps=fast")


def test_import_keeps_a_checked_copy_and_warns(tmp_path: Path) -> None:
    source = tmp_path / "norway_bus.json"
    source.write_text('{"uplink": {"trace_pattern": [{"duration": 20000, "capacity": 150}]}}')
    result = run("import", str(source))
    assert "--unit-scale 8" in result.stderr
    result = run("import", str(source), "--unit-scale", "8", "--overwrite")
    assert "--unit-scale" not in result.stderr
    assert load("norway_bus").mean_bps() == pytest.approx(1.2e6)
    about = read_provenance(tmp_path / "data" / "tbtest" / "traces" / "norway_bus.parquet")
    assert about["file"] == "norway_bus.json"
    assert about["unit_scale"] == 8


def test_import_loss_scale(tmp_path: Path) -> None:
    source = tmp_path / "x.json"
    source.write_text(
        '{"uplink": {"trace_pattern": '
        '[{"duration": 20000, "capacity": 5000, "loss": 0.5, "rtt": 40}]}}'
    )
    entry = json.loads(
        run("import", str(source), "--loss-scale", "0.01", "--no-delay", "--json").stdout
    )[0]
    assert (entry["has_loss"], entry["has_delay"]) == (True, False)
    steps = load("x").steps
    assert steps is not None
    assert steps.loss is not None
    assert steps.loss.tolist() == [0.005]


def test_import_of_several_keeps_none_if_one_is_bad(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("0 5\n1 6\n")
    (tmp_path / "bad.txt").write_text("0 5\n1 x\n")
    assert "bad.txt, line 2" in fails("import", "good.txt", "bad.txt")
    assert not (tmp_path / "data").exists()
    assert "called good" in fails("import", "good.txt", "./good.txt")
    assert "--name is for one file" in fails("import", "good.txt", "bad.txt", "--name", "x")


def test_import_checks_every_name_first_and_a_second_try_goes_on(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("bus+tram=1", "b", "steps")]
    for number, file in enumerate(files):
        file.write_text(f"0 1\n10 {number + 2}\n")
    paths = [str(file) for file in files]
    assert "bundled" in fails("import", *paths)
    assert [*(tmp_path / "data").rglob("*.parquet")] == []
    run("import", *paths[:1])
    assert "b:" in run("import", *paths[:2]).stdout
    assert load("bus+tram=1").mean_bps() == 2e6
    # Another content under a name that is taken is refused, before the others are kept.
    files[0].write_text("0 1\n10 9\n")
    (tmp_path / "c").write_text("0 1\n10 5\n")
    assert "already" in fails("import", str(tmp_path / "c"), paths[0])
    assert len([*(tmp_path / "data").rglob("*.parquet")]) == 2


def test_the_window_of_statistics_is_100_ms_however_long_the_trace(tmp_path: Path) -> None:
    run("generate", "steps", "long.csv", "--duration", "2000s")
    shown = json.loads(run("show", "long.csv", "--json", "--html", "plot.html").stdout)
    assert shown["statistics"]["window_s"] == 0.1


def test_formats_are_listed_and_times_scaled(tmp_path: Path) -> None:
    assert "hsdpa-log" in run("formats").stdout
    (tmp_path / "oboe.txt").write_text("0 3000\n500 1000\n1000 3000\n")
    run("import", "oboe.txt", "--time-scale", "0.001", "--unit-scale", "0.001")
    assert load("oboe").duration_ns == 1_000_000_000
    assert load("oboe").mean_bps() == 2e6
    run("convert", "oboe.txt", "x.csv", "--time-scale", "0.001", "--scale", "0.001")
    assert load("./x.csv").mean_bps() == 2e6
