"""What names the model that answers: the content of its checkpoint, wherever it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

from policy.server.config import ServerConfig
from policy.server.identity import identities

BUNDLED = Path(__file__).parents[3] / "policy" / "tasks" / "congestion" / "checkpoints"


def test_a_copy_is_the_same_and_another_training_is_not(tmp_path: Path) -> None:
    copy = shutil.copytree(BUNDLED / "gru", tmp_path / "copy")
    named = identities(ServerConfig(difficult=None, tiers=("gru",)))
    assert set(named) == {"gru"}
    copied = ServerConfig(difficult="gru", models={"gru": str(copy)})
    assert identities(copied) == named
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"seed', '"seeds', 1) + "\n")
    assert identities(copied) != named


def test_a_users_file_is_named_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("class Mine: ...\n")
    config = ServerConfig(difficult=None, tiers=(f"{file}:Mine",))
    (before,) = identities(config).values()
    file.write_text("class Mine: pass\n")
    (after,) = identities(config).values()
    assert before != after


def test_rules_have_no_checkpoint() -> None:
    assert identities(ServerConfig(difficult=None)) == {}
