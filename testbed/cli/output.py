"""Standard output on any terminal: characters it lacks are spelled out, a full disk is one line."""

from __future__ import annotations

import codecs
import io
import os
import sys

from testbed.errors import UserError, explain

_SPELLED = {
    "–": "-",
    "—": "-",
    "…": "...",
    "µ": "u",
    "×": "x",
    "≥": ">=",
    "≤": "<=",
    "±": "+-",
    "→": "->",
    "█": "#",
    "▇": "#",
    "▆": "#",
    "▅": "=",
    "▄": "=",
    "▃": "-",
    "▂": "_",
    "▁": "_",
}


def _spell(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: the nearest spelling of what the encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SPELLED.get(character, "?") for character in lacking), error.end


def make_safe() -> None:
    """Let standard output and error take every character, whatever the locale."""
    codecs.register_error("tbtest-spell", _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="tbtest-spell")


def flush() -> None:
    """Write out what is buffered. Raises UserError if it cannot be, for instance to a full disk."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        abandon()
        raise UserError(explain(error, "standard output")) from error


def abandon() -> None:
    """Drop what is buffered: Python would try to write it once more at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
