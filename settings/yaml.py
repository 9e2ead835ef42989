"""The project's only YAML reader: safe tags alone, no key twice, no more than a megabyte."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1_000_000


class SettingsError(ValueError):
    """Text that is no acceptable YAML; the message names the place and what is wrong there."""


class _Loader(yaml.SafeLoader):
    """SafeLoader, which runs no code, but refuses a key that a mapping already has."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of `node`. Raises ConstructorError where a key is written twice."""
        first_line: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            # A merge key (<<) may be overridden by what stands beside it.
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue
            line = key_node.start_mark.line + 1
            if key in first_line:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key {key!r} stands in line {first_line[key]} already; keep one",
                    key_node.start_mark,
                )
            first_line[key] = line
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, source: str) -> Any:
    """What the YAML `text` means. Raises SettingsError that names `source` and the line."""
    try:
        # S506 asks for SafeLoader, from which _Loader derives.
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        raise SettingsError(f"{where}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise SettingsError(f"{source}: not valid YAML: {detail}") from error


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """The keys and values in the YAML file `path`; an empty file has none.

    `what` says in messages what the file should be, for instance "a scenario". Raises SettingsError
    that names the file and, where there is one, the line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SettingsError(f"{path}: longer than {MAX_BYTES} bytes; is it {what}?")
        text = content.decode("utf-8")
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such file; it should hold {what}") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not text in UTF-8; it should hold {what} in YAML") from error
    data = parse_yaml(text, str(path))
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise SettingsError(f"{path}: {what} is a mapping of keys to values")
    return data
