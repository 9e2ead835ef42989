"""Run folders that something has garbled: whatever it was, `tbtest report` says one line or prints
its table, and never a traceback.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.measure import measure
from analysis.report.figures import figures
from analysis.run import load_run
from analysis.tables import summary_table
from policy.python import python_command
from tests.analysis.synthetic import (
    ACKS,
    DECISIONS,
    EVENTS,
    MS,
    START_NS,
    TCPINFO,
    SyntheticCell,
    bulk_cell,
    frame,
    packet,
    received,
    row,
    write_run,
)

fuzz = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one bulk and one video cell, the latter under a policy, with every log."""
    at = [START_NS + number * 100 * MS for number in range(10)]
    video = SyntheticCell(
        cc="policy",
        flows=[{"kind": "video"}, {"role": "cross"}],
        agent={"window_ns": 100 * MS, "difficult_tier": "llm", "checkpoints": {"llm": "a"}},
        logs={
            "packets": [packet(number * 5, 5) for number in range(100)],
            "goodput": [received(150_000)],
            "tcpinfo": [row(TCPINFO, at_ns=START_NS, srtt_ns=MS, bytes_sent=1, bytes_retrans=0)],
            "frames": [frame(number, 33 * number, shown_ms=33 * number) for number in range(20)],
            "decisions": [
                row(
                    DECISIONS,
                    window=number,
                    window_end_ns=at_ns,
                    close_ack_ns=at_ns,
                    applied_ns=at_ns + MS,
                    tier="llm",
                    pacing_rate_bps=5e6,
                )
                for number, at_ns in enumerate(at)
            ],
            "acks": [row(ACKS, at_ns=at_ns, delivered_bytes=at_ns % 997) for at_ns in at],
            "events": [row(EVENTS, at_ns=START_NS, event="control", detail="agent")],
        },
    )
    folder = tmp_path_factory.mktemp("garbled") / "run"
    return write_run(folder, [bulk_cell("bbr", 6, 10), video])


def check(folder: Path) -> None:
    """All that the report holds is made, or refused in one line that names the folder."""
    try:
        run = load_run(folder)
        metrics = measure(run)
        summary_table(metrics)
        figures(run, metrics)
        metrics.model_dump_json()
    except AnalysisError as error:
        message = str(error)
        assert message
        assert len(message.splitlines()) == 1
        assert len(message) < 2000
        assert str(folder) in message


VALUES: list[Any] = [
    None, True, "", "x", "../../x", "\x00", -1, 0, 1.5, 2**31, 2**63, 2**70, -(2**70), 1e308,
    float("inf"), float("nan"), [], {}, [None], [[]], [{}], {"p50": None}, {"p50": "x", "p99": 1},
    "x" * 5000,
]  # fmt: skip
KINDS = [
    pa.string(), pa.binary(), pa.bool_(), pa.int8(), pa.uint64(), pa.float32(), pa.float64(),
    pa.timestamp("ns"), pa.list_(pa.int64()), pa.null(),
]  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and index of a JSON value."""
    found = [path] if path else []
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            found += places(value, (*path, key))
    return found


@fuzz
@given(st.data())
def test_any_value_in_the_json_files(sound: Path, tmp_path_factory, data: st.DataObject) -> None:
    folder = shutil.copytree(sound, tmp_path_factory.mktemp("case") / "run")
    name = data.draw(
        st.sampled_from(["manifest.json", *(str(p) for p in sound.glob("cells/*/cell.json"))])
    )
    file = folder / (Path(name).relative_to(sound) if name.startswith("/") else name)
    content = json.loads(file.read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(places(content)))
        place = content
        try:
            for key in path[:-1]:
                place = place[key]
            if data.draw(st.booleans()):
                place[path[-1]] = data.draw(st.sampled_from(VALUES))
            else:
                del place[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # the first change has taken the second one's place away
    file.write_text(json.dumps(content))
    check(folder)


@fuzz
@given(st.data())
def test_any_column_in_the_logs(sound: Path, tmp_path_factory, data: st.DataObject) -> None:
    folder = shutil.copytree(sound, tmp_path_factory.mktemp("case") / "run")
    file = data.draw(st.sampled_from(sorted(folder.rglob("*.parquet"))))
    table = pq.read_table(file)
    index = data.draw(st.integers(0, table.num_columns - 1))
    field = table.schema.field(index)
    match data.draw(st.sampled_from(["drop", "null", "retype", "extreme", "empty", "repeat"])):
        case "drop":
            table = table.remove_column(index)
        case "null":
            nulls = pa.nulls(len(table), field.type)
            table = table.set_column(index, field.with_nullable(True), nulls)
        case "retype":
            kind = data.draw(st.sampled_from(KINDS))
            try:
                values = table.column(index).cast(kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                values = pa.nulls(len(table), kind)
            table = table.set_column(index, pa.field(field.name, kind), values)
        case "extreme":
            value = data.draw(st.sampled_from([-(2**63), 2**63 - 1, -1, 0, 2**61, -(2**61)]))
            kind = pa.float64() if pa.types.is_floating(field.type) else pa.int64()
            values = pa.array([value] * len(table)).cast(kind, safe=False)
            table = table.set_column(index, pa.field(field.name, kind), values)
        case "empty":
            table = table.slice(0, 0)
        case "repeat":
            table = pa.concat_tables([table, table])
    pq.write_table(table, file)
    check(folder)


@fuzz
@given(st.data())
def test_any_bytes_in_any_file(sound: Path, tmp_path_factory, data: st.DataObject) -> None:
    folder = shutil.copytree(sound, tmp_path_factory.mktemp("case") / "run")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    match data.draw(st.sampled_from(["cut", "flip", "swap", "folder", "nothing", "gone"])):
        case "cut":
            file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        case "flip":
            for _ in range(data.draw(st.integers(1, 8))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
                    st.integers(0, 255)
                )
            file.write_bytes(content)
        case "swap":
            file.write_bytes(data.draw(st.sampled_from(files)).read_bytes())
        case "folder":
            file.unlink()
            file.mkdir()
        case "nothing":
            file.write_bytes(b"")
        case "gone":
            file.unlink()
    check(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", b"[" * 100_000),
        ("manifest.json", b'{"schema": 1, "cells": [], "scenario": {}}'),
        ("cells/000-bbr-r0/cell.json", b"\x00\xff\xfe"),
        ("cells/000-bbr-r0/goodput.parquet", b"PAR1PAR1"),
        ("traces/constant-12mbit.parquet", b""),
    ],
)
def test_the_command_says_one_line_and_ends_with_2(
    name: str, content: bytes, sound: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(sound, tmp_path / "run")
    assert (folder / name).exists()
    (folder / name).write_bytes(content)
    command = python_command("testbed", "report", str(folder))
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert str(folder / name) in ended.stderr


def test_the_sound_folder_is_read(sound: Path) -> None:
    assert {cell.cc for cell in measure(load_run(sound)).cells} == {"bbr", "policy"}
