"""Names, files and the user's library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from traces import Steps, Trace, TraceError, constant, load, read_parquet
from traces.library import add_to_library, find, imported_names, trace_name, user_library


@pytest.fixture(autouse=True)
def _own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def named(name: str, rate_bps: float = 5e6) -> Trace:
    return Trace(name, None, Steps(np.array([0]), np.array([rate_bps])))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("ATT-LTE-driving.down.gz", "ATT-LTE-driving.down"),
        ("report.2010-09-13_1003CEST.json", "report.2010-09-13_1003CEST"),
        ("a.mahimahi.gz", "a"),
        (".csv", "csv"),
        ("bus+tram=1.log", "bus+tram=1.log"),
        ("a/b ü.txt", "b _"),
        ("y" * 200, "y" * 128),
        ("plain", "plain"),
    ],
)
def test_names_of_files(file: str, name: str) -> None:
    assert trace_name(Path("x") / file) == name


def test_imported_names_resolve_and_survive() -> None:
    assert imported_names() == []
    path = add_to_library(named("mine"), {"file": "x"})
    assert path == user_library() / "mine.parquet"
    assert imported_names() == ["mine"]
    assert load("mine").mean_bps() == 5e6
    with pytest.raises(TraceError, match="already"):
        add_to_library(named("mine", 7e6), {})
    add_to_library(named("mine", 7e6), {}, overwrite=True)
    assert read_parquet(path).mean_bps() == 7e6
    assert [file.name for file in path.parent.iterdir()] == ["mine.parquet"]


@pytest.mark.parametrize("name", ["../evil", "", ".hidden", "a/b", "x" * 129, "lte-driving"])
def test_names_that_cannot_be_kept(name: str) -> None:
    with pytest.raises(TraceError, match="name"):
        add_to_library(named(name), {})
    assert not user_library().exists()


def test_a_name_wins_over_a_file_and_a_path_over_a_name(tmp_path: Path) -> None:
    (tmp_path / "steps").write_text("0 1\n1 2\n")
    assert load("steps").name == "steps"
    assert load("steps").duration_ns == 40_000_000_000
    assert load("./steps").duration_ns == 1_000_000_000
    assert load(Path("steps")).duration_ns == 1_000_000_000


def test_what_cannot_be_found(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="did you mean lte-driving"):
        find("lte-drivin")
    with pytest.raises(TraceError, match="bundled and imported traces: lte-driving"):
        find("zzz")
    with pytest.raises(TraceError, match="is a folder"):
        find(str(tmp_path))
    with pytest.raises(TraceError, match="no trace format 'tcpdump'"):
        load("steps", "tcpdump")


def test_a_full_or_forbidden_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the library's folder should be")
    with pytest.raises(TraceError, match="cannot be written"):
        add_to_library(constant(1e6), {})
