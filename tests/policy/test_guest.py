"""A user's own policy: loaded by file, checked, and never more than a policy without an answer."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from policy import registry
from policy.api import FlowBatch, PolicyContext
from policy.errors import NoDecision, PolicyError
from policy.tasks.congestion.fields import FIELDS, HISTORY
from policy.worker.policy import WorkerPolicy

CONSTANT = """
import numpy as np
from tbtest import Actions

class Mine:
    history = 3
    def __init__(self):
        self.gone = 0.0
    def decide(self, batch, now_ns):
        return Actions(batch.bandwidth_bps + self.gone, np.full(len(batch), 10))
    def forget(self, flows):
        self.gone += sum(flows)
"""


def batch(n: int = 2) -> FlowBatch:
    """n flows of 5 Mbit/s."""
    return FlowBatch(
        np.arange(n),
        np.zeros((n, 3, len(FIELDS))),
        np.ones((n, 3), bool),
        np.full(n, 5e6),
        np.full(n, 40e6),
        np.full(n, 1448.0),
    )


def reference(folder: Path, text: str) -> str:
    """`mine.py:Mine` with that text in it."""
    (folder / "mine.py").write_text(text)
    return f"{folder}/mine.py:Mine"


def deciding(folder: Path, answer: str) -> registry.Policy:
    """A policy whose `decide` returns that expression."""
    text = f"class Mine:\n    def decide(self, batch, now_ns):\n        return {answer}\n"
    return registry.create(reference(folder, text), PolicyContext(4))


def test_it_decides(tmp_path: Path) -> None:
    policy = registry.create(reference(tmp_path, CONSTANT), PolicyContext(4))
    assert policy.name == "mine.py:Mine"
    assert policy.history == 3
    assert policy.yields is False
    actions = policy.decide(batch(), 0)
    assert actions.pacing_rate_bps.tolist() == [5e6, 5e6]
    assert actions.cwnd_packets.tolist() == [10.0, 10.0]
    assert actions.cwnd_packets.dtype == np.float64


def test_it_forgets_before_the_next_decision(tmp_path: Path) -> None:
    policy = registry.create(reference(tmp_path, CONSTANT), PolicyContext(4))
    policy.forget([1, 2])
    assert policy.decide(batch(1), 0).pacing_rate_bps.tolist() == [5e6 + 3]


def test_the_context_is_given_to_who_takes_it(tmp_path: Path) -> None:
    text = CONSTANT.replace("__init__(self)", "__init__(self, context)").replace(
        "self.gone = 0.0", "self.gone = context.flows"
    )
    policy = registry.create(reference(tmp_path, text), PolicyContext(7))
    assert policy.decide(batch(1), 0).pacing_rate_bps.tolist() == [5e6 + 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Mine:\n    def decide(self, batch, now_ns:\n", "mine.py:2: SyntaxError"),
        ("import absent_module\n", "mine.py:1: ModuleNotFoundError: No module named"),
        ("class Other:\n    pass\n", "no class 'Mine'"),
        ("class Mine:\n    pass\n", "Mine has no decide"),
        (CONSTANT.replace("self.gone = 0.0", "1 / 0"), "mine.py:8: ZeroDivisionError"),
        (CONSTANT.replace("history = 3", "history = 'all'"), "ValueError: invalid literal"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PolicyError) as info:
        registry.create(reference(tmp_path, text), PolicyContext(4))
    assert message in str(info.value)
    assert "\n" not in str(info.value)


def test_a_history_is_bounded(tmp_path: Path) -> None:
    text = CONSTANT.replace("history = 3", "history = 10**9")
    assert registry.create(reference(tmp_path, text), PolicyContext(4)).history == HISTORY


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("None", "decide returned NoneType instead of Actions"),
        ("__import__('tbtest').Actions([1.0], [2.0, 3.0])", r"shape \(1,\) for 2 flows"),
        ("__import__('tbtest').Actions('ab', [2.0, 3.0])", "could not convert"),
        ("exit('enough')", "SystemExit: enough"),
    ],
)
def test_what_fails_is_no_decision_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: str, message: str
) -> None:
    policy = deciding(tmp_path, answer)
    for _ in range(3):
        with pytest.raises(NoDecision, match=message):
            policy.decide(batch(), 0)
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING


def test_values_that_are_no_rates_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = deciding(tmp_path, "__import__('tbtest').Actions([-1.0, 5e6], [2.0, 3.0])")
    for _ in range(3):
        assert policy.decide(batch(), 0).pacing_rate_bps.tolist() == [-1.0, 5e6]
    assert len(caplog.records) == 1


def test_a_process_of_its_own(tmp_path: Path) -> None:
    text = CONSTANT.replace("    history", "    own_process = True\n    history") + (
        "        if 9 in flows:\n            raise ValueError('nine')\n"
    )
    name = reference(tmp_path, text)
    assert registry.wants_process(name)
    worker = WorkerPolicy(name, PolicyContext(16), 8)
    try:
        assert (worker.name, worker.history, worker.max_batch) == ("mine.py:Mine", 3, 8)
        worker.forget([1, 2])
        assert worker.decide(batch(), 0).pacing_rate_bps.tolist() == [5e6 + 3, 5e6 + 3]
        worker.forget([9])
        with pytest.raises(NoDecision):
            worker.decide(batch(), 0)
        # The process lives on.
        assert worker.decide(batch(), 0).pacing_rate_bps.tolist() == [5e6 + 12, 5e6 + 12]
    finally:
        worker.close()


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reference(tmp_path, CONSTANT)
    assert registry.full_name("mine.py:Mine") == f"{tmp_path}/mine.py:Mine"
    assert not registry.wants_process("gcc")
    assert registry.wants_process("llm")
    with pytest.raises(PolicyError, match=r"policy file .*absent.py: no such file"):
        registry.check("absent.py:Mine")
    with pytest.raises(PolicyError, match="did you mean persistence"):
        registry.check("persistance")
