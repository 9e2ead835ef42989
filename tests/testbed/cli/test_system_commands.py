"""`tbtest clean` and `tbtest topologies`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.cli.clean import clean
from testbed.cli.topologies import topologies
from testbed.system.pids import ProcessId
from testbed.system.state import RecordedPath, RunState


@pytest.fixture
def dead_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state file of a dead run that lists a file."""
    state = RunState.create("dead", tmp_path)
    state.process = ProcessId(state.process.pid, 1)
    state.add_path(RecordedPath("pin", str(tmp_path / "pin")))
    (tmp_path / "pin").write_text("")
    from testbed.system import leftovers

    monkeypatch.setattr(
        "testbed.cli.clean.remove_leftovers", lambda run_id: leftovers.clean(run_id, tmp_path)
    )
    return tmp_path


def test_clean_says_what_it_removed(dead_run: Path) -> None:
    result = CliRunner().invoke(clean)
    assert result.exit_code == 0
    assert result.output == f"dead: 0 processes, 1 paths removed\n  {dead_run / 'pin'}\n"
    assert list(dead_run.iterdir()) == []
    assert CliRunner().invoke(clean).output == "nothing to clean\n"


def test_clean_as_json(dead_run: Path) -> None:
    data = json.loads(CliRunner().invoke(clean, ["--json"]).output)
    assert data["cleaned"] == [
        {"run_id": "dead", "processes": [], "paths": [str(dead_run / "pin")], "stuck": []}
    ]
    assert (data["alive"], data["unreadable"]) == ([], [])


def test_topologies_are_listed_with_their_options() -> None:
    data = json.loads(CliRunner().invoke(topologies, ["--json"]).output)["topologies"]
    assert [entry["name"] for entry in data] == [
        "dumbbell",
        "parking-lot",
        "chain",
        "star",
        "two-paths",
    ]
    hops = next(option for option in data[2]["options"] if option["name"] == "hops")
    assert hops == {"name": "hops", "default": 3, "description": "emulated hops in a row"}
    assert "hops = 3  emulated hops in a row" in CliRunner().invoke(topologies).output
