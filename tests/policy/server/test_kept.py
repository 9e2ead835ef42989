"""What a scheduler has learnt, in a file: written whole, and no obstacle where it is of no use."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from policy.scheduler.adaptive import AdaptiveScheduler
from policy.scheduler.rules import RuleScheduler
from policy.scheduler.thresholds import AdaptiveConfig, ApcConfig
from policy.server import kept


def adaptive(level: float = 0.0) -> AdaptiveScheduler:
    scheduler = AdaptiveScheduler(4, ApcConfig(), AdaptiveConfig())
    scheduler.level = level
    return scheduler


def test_a_restart_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    kept.save(adaptive(1.25), path)
    again = adaptive()
    kept.restore(again, path)
    assert again.level == 1.25
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "level": 1e9}', "{" * 5000])
def test_a_file_of_no_use_is_a_start_from_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    scheduler = adaptive()
    with caplog.at_level(logging.WARNING):
        kept.restore(scheduler, path)
    assert scheduler.level == 0.0
    assert "starts anew" in caplog.text


def test_without_a_file_or_something_to_keep_nothing_happens(tmp_path: Path) -> None:
    kept.restore(adaptive(), tmp_path / "none.json")
    kept.save(RuleScheduler(4, ApcConfig()), tmp_path / "rules.json")
    kept.save(adaptive(), None)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_costs_the_state_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        kept.save(adaptive(), tmp_path / "gone" / "state.json")
    assert "No such file" in caplog.text
