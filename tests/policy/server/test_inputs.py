"""The log of decisions: what is read back is what the policies saw and said, and no more than
allowed."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from policy.api import Actions, FlowBatch
from policy.errors import PolicyError
from policy.protocol import columns as col
from policy.server.config import ServerConfig, build
from policy.server.core import Core
from policy.server.inputs import InputFiles, InputLog, opened
from policy.server.metrics import Metrics
from policy.tasks.congestion import logged

MS = 1_000_000
OBJECTIVES = (0.0, 0.75)
"""What the two flows want."""


class Recorder:
    """A model that keeps what it saw."""

    name = "llm"

    def __init__(self) -> None:
        self.seen: list[FlowBatch] = []

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        self.seen.append(batch)
        return Actions(batch.bandwidth_bps * 2, np.full(len(batch), 9.0))

    def forget(self, flows: list[int]) -> None:
        """No state."""


def served(folder: Path, make_agent, windows: int, answer_ms: int = 10) -> list[FlowBatch]:
    """Two difficult flows under APC, every window answered twice; returns what the model saw."""
    small = {"flows": 16, "flows_per_stream": 8, "streams": 2, "records_per_batch": 100}
    config: ServerConfig = build({"difficult": None, "limits": small}, "test")
    model, agent = Recorder(), make_agent(flows=2, queue_ms=200.0)
    config = config.model_copy(update={"difficult": "llm"})
    with opened(folder, 16, 2**30) as inputs:
        core = Core(config, {"llm": model}, Metrics(), inputs=inputs)
        session = core.streams.connect(agent.hello("apc"))[0]
        opening = agent.opening()
        opening.opens.objective = np.array(OBJECTIVES, col.OBJECTIVE).tobytes()
        core.streams.receive(session, opening, 0)
        for window in range(windows):
            now = window * 100 * MS
            core.streams.receive(session, agent.window(), now)
            core.tick(now)
            while job := core.next_job("llm", now):
                now += answer_ms * MS
                core.finish(job, model.decide(job.batch, now), now)
    return model.seen


def test_what_is_read_is_what_the_policies_saw(tmp_path: Path, make_agent) -> None:
    seen = served(tmp_path, make_agent, windows=25)
    read = logged.read(tmp_path)
    assert len(read) == 50
    paired = read.paired
    assert len(paired) == sum(len(batch) for batch in seen)
    assert {read.name("model", row) for row in paired.tolist()} == {"llm"}
    assert {read.name("rule", row) for row in paired.tolist()} == {"persistence"}
    assert read.rows["model_sent"][paired].all()
    assert (read.rows["reasons"][paired] > 0).all()
    batch, answers = read.batch(paired), read.answers(paired, "model")
    np.testing.assert_array_equal(answers.pacing_rate_bps, 2 * batch.bandwidth_bps)
    by_flow = np.argsort([flow for each in seen for flow in each.flow], kind="stable")
    for name in ("windows", "valid", "bandwidth_bps", "min_rtt_ns", "mss_bytes", "objective"):
        wanted = np.concatenate([getattr(each, name) for each in seen])[by_flow]
        np.testing.assert_array_equal(getattr(batch, name), wanted)
    assert set(batch.objective.tolist()) == set(OBJECTIVES)


def test_late_answers_are_logged_as_not_sent(tmp_path: Path, make_agent) -> None:
    served(tmp_path, make_agent, windows=3, answer_ms=150)
    read = logged.read(tmp_path)
    assert len(read.paired)
    assert not read.rows["model_sent"].any()


def test_the_next_window_of_a_flow_is_found(tmp_path: Path, make_agent) -> None:
    served(tmp_path, make_agent, windows=4)
    read = logged.read(tmp_path)
    following = read.following
    assert np.count_nonzero(following < 0) == 2
    for row in np.flatnonzero(following >= 0).tolist():
        after = following[row]
        assert read.rows["flow"][after] == read.rows["flow"][row]
        assert read.rows["window"][after] == read.rows["window"][row] + 1


def windows(inputs: InputLog, slots: np.ndarray, now_ns: int = 0) -> None:
    fields = np.zeros((len(slots), len(logged.FIELDS)))
    inputs.windows(slots, ["a"] * len(slots), {"window": slots}, fields, now_ns)


def test_parts_are_cut_by_rows_and_by_time_and_none_is_lost() -> None:
    parts: list[np.ndarray] = []

    def write(rows: np.ndarray, names: tuple[str, ...]) -> bool:
        parts.append(rows.copy())
        return True

    inputs = InputLog(20, write, part_rows=4)
    windows(inputs, np.arange(10))
    late = inputs.rows(np.array([9]))
    windows(inputs, np.array([10]), now_ns=60_000_000_000)
    inputs.by_model(late, "llm", Actions(np.array([5.0]), np.array([6.0])), np.array([True]))
    inputs.close()
    assert [len(part) for part in parts] == [4, 4, 2, 1]
    assert np.concatenate(parts)["window"].tolist() == list(range(11))
    assert parts[2]["model_pacing_rate_bps"].tolist()[1] == 5.0


def test_a_full_folder_takes_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = InputFiles(tmp_path, limit_bytes=1)
    inputs = InputLog(20, files.write, part_rows=2)
    with caplog.at_level(logging.WARNING):
        windows(inputs, np.arange(6))
        files.close()
        windows(inputs, np.arange(6, 20))
        inputs.close()
    assert "no more inputs are logged" in caplog.text
    assert len(list(tmp_path.glob("*.parquet"))) <= 2
    assert inputs.rows(np.array([19])).tolist() == [-1]


def test_a_second_server_adds_parts(tmp_path: Path, make_agent) -> None:
    served(tmp_path, make_agent, windows=2)
    served(tmp_path, make_agent, windows=2)
    assert len(logged.read(tmp_path)) == 8


def test_what_is_no_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="--log-inputs"):
        logged.read(tmp_path)
    (tmp_path / "inputs-00000.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(PolicyError, match=r"inputs-00000\.parquet: cannot be read"):
        logged.read(tmp_path)
