"""Routes take the detour while the short way fails, and no longer."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.files import read_cell
from testbed.run.files import new_run_folder
from testbed.run.prepared import resolve
from testbed.run.runner import run_cells
from testbed.scenario import parse_scenario
from testbed.system.scope import new_run_id

SCENARIO = {
    "topology": "two-paths",
    "topology_options": {"detour_rtt": "100ms"},
    "rate": "4mbit",
    "rtt": "20ms",
    "cc": ["policy:gcc"],
    "flow": "bulk",
    "duration": "3s",
    "failures": [
        {"kind": "link", "link": "short", "at": "1s", "stop": "2s"},
        {"kind": "server", "at": "1s", "stop": "2s"},
    ],
}


@pytest.mark.root
def test_data_takes_the_detour_while_the_short_way_fails(tmp_path: Path) -> None:
    prepared = resolve(parse_scenario(SCENARIO, "test"))
    run_id = new_run_id()
    folder = new_run_folder(tmp_path / "run", run_id)
    assert run_cells(prepared, run_id, folder, quiet=True) == []
    assert json.loads((folder / "manifest.json").read_text())["status"] == "done"
    (cell,) = (folder / "cells").iterdir()
    record = read_cell(cell)
    assert [(event.kind, event.breaks) for event in record.failures] == [
        ("link", True),
        ("server", True),
        ("link", False),
        ("server", False),
    ]
    broke_ns, mended_ns = (record.failures[place].at_ns for place in (0, 2))
    assert 10**9 <= broke_ns < mended_ns
    packets = pq.read_table(cell / "packets.parquet").to_pandas()
    names = {link.link: link.name for link in record.links if link.direction == "forward"}
    data = packets[packets["flow"] == 0][lambda rows: ~rows["ack"]]
    since_ns = data["enqueue_ns"] - record.start_ns
    taken = data["link"].map(names)
    assert len(data)
    # Half an RTT after each change nothing is on the way to the router that decides.
    slack_ns = 200_000_000
    away = (since_ns > broke_ns + slack_ns) & (since_ns < mended_ns)
    home = (since_ns < broke_ns) | (since_ns > mended_ns + slack_ns)
    assert (taken[away] == "detour").any()
    assert not (taken[away] == "short").any()
    assert (taken[home] == "short").any()
    assert not (taken[home] == "detour").any()
