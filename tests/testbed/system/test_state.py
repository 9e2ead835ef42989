import json
import os
from pathlib import Path

import pytest

from testbed.errors import UserError
from testbed.system.pids import ProcessId
from testbed.system.state import RecordedPath, RunState, SpawnedProcess, read_states


def test_round_trip(tmp_path: Path) -> None:
    state = RunState.create("a", tmp_path)
    state.add_process(SpawnedProcess("sender", ProcessId(12, 345)))
    state.add_path(RecordedPath("pin", "/sys/fs/bpf/x"))
    assert read_states(tmp_path) == ([state], [])
    assert state.process == ProcessId.of(os.getpid())
    state.drop_process(12)
    state.drop_path(RecordedPath("pin", "/sys/fs/bpf/x"))
    ((again,), _) = read_states(tmp_path)
    assert (again.processes, again.paths) == ([], [])
    state.remove()
    assert list(tmp_path.iterdir()) == []


def test_an_id_is_used_once(tmp_path: Path) -> None:
    RunState.create("a", tmp_path)
    with pytest.raises(UserError, match="taken"):
        RunState.create("a", tmp_path)


def test_a_draft_alone_tells_its_owner(tmp_path: Path) -> None:
    state = RunState.create("20260101T000000-abc", tmp_path)
    state.path.rename(state.draft)  # as if killed before the first rename
    state.draft.write_text('{"sch')
    ((found,), unreadable) = read_states(tmp_path)
    assert (found.run_id, found.process, unreadable) == (state.run_id, state.process, [])


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_strange_files_are_named_not_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(text)
    assert read_states(tmp_path) == ([], [path])


def test_file_is_always_whole(tmp_path: Path) -> None:
    state = RunState.create("a", tmp_path)
    for pid in range(50):
        state.add_process(SpawnedProcess("p", ProcessId(pid, 1)))
        assert len(json.loads(state.path.read_text())["processes"]) == pid + 1
