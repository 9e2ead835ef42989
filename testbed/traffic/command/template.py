"""Command lines with placeholders. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

# A shell's ${name} is the shell's, and JSON's braces hold no bare lower-case word.
_PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")

PLACEHOLDERS = (
    "sender",
    "receiver",
    "port",
    "sender_port",
    "duration",
    "log_dir",
    "flow",
    "seed",
    "cc",
)
"""What a command line may name in braces."""


def words(line: object) -> tuple[str, ...]:
    """A command line as words: a string is split as a shell would, without being run by one.

    Raises ValueError where quotes are not closed, nothing is left or a placeholder is unknown.
    """
    if isinstance(line, str):
        try:
            found = tuple(shlex.split(line))
        except ValueError as error:
            raise ValueError(f"{line!r} is not a command line: {error}") from error
    elif isinstance(line, Sequence) and all(isinstance(word, str) for word in line):
        found = tuple(line)
    else:
        raise ValueError(f"{line!r} is neither a command line nor a list of words")
    if not found or not found[0]:
        raise ValueError("the command line is empty")
    for word in found:
        for name in _PLACEHOLDER.findall(word):
            if name not in PLACEHOLDERS:
                known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
                raise ValueError(f"{{{name}}} is not known; known: {known}")
    return found


def fill(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The words with every placeholder replaced. ``values`` has all of PLACEHOLDERS."""
    return [_PLACEHOLDER.sub(lambda match: values[match[1]], word) for word in command]
