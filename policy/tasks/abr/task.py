"""Adaptive bitrate streaming as a task of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from policy.tasks.base import Task


class AbrTask(Task):
    """README.md of this folder describes observation, action and reward."""

    name = "abr"
    about = "adaptive bitrate streaming: the level of a player's next chunk"
    commands: ClassVar[Mapping[str, str]] = {"train": "policy.tasks.abr.commands:train"}
