"""Adaptive bitrate streaming as a task of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from policy.tasks.base import Task


class AbrTask(Task):
    """README.md of this folder describes observation, action and reward."""

    name = "abr"
    about = "adaptive bitrate streaming: the level of a player's next chunk"
    commands: ClassVar[Mapping[str, str]] = {
        "collect": "policy.tasks.abr.commands:collect",
        "train": "policy.tasks.abr.commands:train",
    }

    def card(self, file: Path) -> str:
        from policy.tasks.abr.card import card

        return card(file)

    def export(self, file: Path) -> Path:
        from policy.tasks.abr.portable import export

        return export(file)
