"""A user's own scheduler: built by file, told outcomes, and replaced by the rules once it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy.api import FlowBatch
from policy.errors import PolicyError
from policy.scheduler.registry import create, full_name
from policy.scheduler.rules import RuleScheduler
from policy.scheduler.thresholds import ApcConfig
from policy.tasks.congestion.fields import FIELDS

MINE = """
import numpy as np

class Mine:
    history = 1
    def __init__(self, context):
        self.told = np.zeros(context.flows, bool)
    def observe(self, batch):
        assert batch.windows.shape[1] == 1
        return self.told[batch.flow]
    def feedback(self, batch, by_model):
        self.told[batch.flow] = ~by_model
    def forget(self, flows):
        self.told[flows] = False
"""


def batch(n: int) -> FlowBatch:
    """n flows with five calm windows."""
    ones = np.ones(n)
    windows = np.zeros((n, 5, len(FIELDS)))
    return FlowBatch(np.arange(n), windows, np.ones((n, 5), bool), ones * 5e6, ones * 4e7, ones)


def reference(folder: Path, text: str = MINE) -> str:
    """`mine.py:Mine` with that text in it."""
    (folder / "mine.py").write_text(text)
    return f"{folder}/mine.py:Mine"


def test_a_users_own_observes_and_is_told(tmp_path: Path) -> None:
    scheduler = create(reference(tmp_path), 4, ApcConfig())
    assert scheduler.observe(batch(2)).tolist() == [0, 0]
    scheduler.feedback(batch(2), np.array([True, False]))
    assert scheduler.observe(batch(2)).tolist() == [0, 1]
    scheduler.forget([1])
    assert scheduler.observe(batch(2)).tolist() == [0, 0]


@pytest.mark.parametrize("answer", ["1 / 0", "np.zeros(7)", "None"])
def test_once_it_fails_the_rules_schedule(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    text = MINE.replace("self.told[batch.flow]\n    def feed", f"{answer}\n    def feed")
    scheduler = create(reference(tmp_path, text), 4, ApcConfig())
    expected = RuleScheduler(4, ApcConfig())
    for _ in range(3):
        assert scheduler.observe(batch(2)).tolist() == expected.observe(batch(2)).tolist()
    assert len(caplog.records) == 1


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reference(tmp_path)
    assert full_name("mine.py:Mine") == f"{tmp_path}/mine.py:Mine"
    with pytest.raises(PolicyError, match="no scheduler 'rule'; known: rules"):
        full_name("rule")
    with pytest.raises(PolicyError, match="Mine has no feedback"):
        create(reference(tmp_path, MINE.replace("feedback", "other")), 4, ApcConfig())
