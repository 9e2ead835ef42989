"""Run folders that are incomplete or broken: the file is named, and what did not finish is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.measure import measure
from analysis.run import load_run
from tests.analysis.synthetic import SyntheticCell, bulk_cell, write_run

CELL = Path("cells/000-bbr-r0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [bulk_cell("bbr", 6, 10), bulk_cell("cubic", 6, 20)])


def edit(path: Path, change: Callable[[dict], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_a_good_folder(folder: Path) -> None:
    run = load_run(folder)
    assert [cell.cc for cell in run.cells] == ["bbr", "cubic"]
    assert run.skipped == []
    assert measure(run).warnings == []


def test_unfinished_cells_are_left_out_and_said(tmp_path: Path) -> None:
    cells = [bulk_cell("bbr", 6, 10)]
    cells += [
        SyntheticCell(cc="cubic", status=status) for status in ("interrupted", "failed", "planned")
    ]
    run = load_run(write_run(tmp_path / "run", cells))
    assert [cell.cc for cell in run.cells] == ["bbr"]
    assert measure(run).warnings == [
        "cell 001-cubic-r0 is interrupted, left out",
        "cell 002-cubic-r0 is failed, left out",
        "cell 003-cubic-r0 is planned, left out",
    ]


def test_no_finished_cell(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [SyntheticCell(status="interrupted")])
    with pytest.raises(AnalysisError, match="no cell of this run finished; 1 were planned"):
        load_run(folder)


@pytest.mark.parametrize(
    "name",
    ["manifest.json", CELL / "cell.json", CELL / "packets.parquet", CELL / "goodput.parquet"],
    ids=str,
)
@pytest.mark.parametrize("how", ["missing", "garbage", "cut"])
def test_what_is_missing_or_corrupt_is_named(folder: Path, name: str | Path, how: str) -> None:
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(b"\xff\xfe garbage" if how == "garbage" else content[: len(content) // 2])
    with pytest.raises(AnalysisError) as caught:
        measure(load_run(folder))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["tcpinfo", "frames", "acks", "decisions", "events"])
def test_a_corrupt_log_is_named(folder: Path, name: str) -> None:
    (folder / CELL / f"{name}.parquet").write_bytes(b"PAR1 but no more")
    cell = load_run(folder).cells[0]
    with pytest.raises(AnalysisError, match=rf"{name}\.parquet: not a readable Parquet file"):
        cell.log(name)


def test_a_missing_trace_is_named(folder: Path) -> None:
    for trace in (folder / "traces").iterdir():
        trace.unlink()
    with pytest.raises(
        AnalysisError, match=r"constant.*\.parquet: the replayed trace cannot be read"
    ):
        measure(load_run(folder))


def test_a_log_without_its_columns_is_refused(folder: Path) -> None:
    goodput = folder / CELL / "goodput.parquet"
    goodput.write_bytes((folder / CELL / "tcpinfo.parquet").read_bytes())
    with pytest.raises(AnalysisError, match=r"goodput\.parquet: lacks received_bytes"):
        measure(load_run(folder))


def test_a_video_cell_without_frames_is_refused(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", [SyntheticCell(flows=[{"kind": "video"}], logs={"frames": None})]
    )
    with pytest.raises(AnalysisError, match=r"frames\.parquet: missing"):
        measure(load_run(folder))


@pytest.mark.parametrize("key", ["cells", "scenario", "trace", "environment"])
def test_a_manifest_without_its_keys_is_refused(folder: Path, key: str) -> None:
    edit(folder / "manifest.json", lambda data: data.pop(key))
    with pytest.raises(AnalysisError, match=rf"manifest\.json: key '{key}': Field required"):
        load_run(folder)


@pytest.mark.parametrize("value", ["text", 3, [3], [{"folder": "x"}]])
def test_a_malformed_manifest_is_refused(folder: Path, value: object) -> None:
    edit(folder / "manifest.json", lambda data: data.update(cells=value))
    with pytest.raises(AnalysisError, match=r"manifest\.json"):
        load_run(folder)


@pytest.mark.parametrize("key", ["flows", "links", "seed", "stop_ns"])
def test_a_cell_without_its_keys_is_refused(folder: Path, key: str) -> None:
    edit(folder / CELL / "cell.json", lambda data: data.pop(key))
    with pytest.raises(AnalysisError, match=rf"cell\.json: key '{key}': Field required"):
        load_run(folder)


def test_a_link_without_its_account_is_refused(folder: Path) -> None:
    edit(folder / CELL / "cell.json", lambda data: data["links"][0].pop("rate_error"))
    with pytest.raises(AnalysisError, match=r"cell\.json: key 'links\.0\.rate_error'"):
        load_run(folder)


@pytest.mark.parametrize("schema", [2, None, "1"])
def test_another_schema_is_refused(folder: Path, schema: object) -> None:
    edit(folder / "manifest.json", lambda data: data.update(schema=schema))
    with pytest.raises(AnalysisError, match=r"manifest\.json: schema .*, this version reads 1"):
        load_run(folder)


def test_json_that_is_no_object_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(AnalysisError, match="schema None"):
        load_run(folder)
