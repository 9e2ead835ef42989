"""What a scenario's or grid's YAML file says, before it is typed, and what --set changes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from settings import SettingsError, parse_yaml, read_mapping
from testbed.errors import UserError


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a scenario or grid file. Raises UserError naming file and line."""
    try:
        return read_mapping(path, "a scenario or grid")
    except SettingsError as error:
        raise UserError(str(error)) from error


def set_key(data: dict[str, Any], assignment: str) -> None:
    """Apply ``key.sub=value`` (value in YAML) to ``data`` in place. Raises UserError."""
    key, separator, text = assignment.partition("=")
    if not separator or not key:
        raise UserError(
            f"--set {assignment}: write it as key=value, for example flow_options.fps=60"
        )
    try:
        value = parse_yaml(text, f"--set {assignment}")
    except SettingsError as error:
        raise UserError(str(error)) from error
    *parents, last = key.split(".")
    for parent in parents:
        child = data.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UserError(f"--set {assignment}: {parent} holds a value, not a mapping")
        data = child
    data[last] = value
