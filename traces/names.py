"""The rule for names of traces. A name becomes part of a file's name, so it is checked wherever it
comes in.
"""

from __future__ import annotations

import re

from traces.errors import TraceError

MAX_LENGTH = 128
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+=@,()-]{0,127}")
_OTHER = re.compile(r"[^A-Za-z0-9 ._+=@,()-]")
RULE = (
    f"letters, digits, spaces and . _ + = @ , ( ) -, at most {MAX_LENGTH}, "
    "beginning with a letter, a digit or _"
)


def is_name(text: object) -> bool:
    """Whether `text` may be the name of a trace."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def check_name(text: object) -> str:
    """`text` itself. Raises TraceError where it may not be the name of a trace."""
    if not is_name(text):
        shown = repr(text)
        shown = shown if len(shown) <= 60 else f"{shown[:50]}… ({len(shown)} characters)"
        raise TraceError(f"{shown} cannot be a trace's name: use {RULE}")
    return str(text)


def name_from(text: str) -> str:
    """`text` made a name: other characters become `_`, what is too long is cut."""
    kept = _OTHER.sub("_", text).lstrip(" .+=@,()-")[:MAX_LENGTH].rstrip(" ")
    return kept or "trace"
