"""Errors a user can cause and mend."""

from __future__ import annotations

import traceback


class TopologyError(ValueError):
    """A topology that is unknown, breaks the protocol, or was given bad options. The message says which and how."""


def place(error: Exception, file: str) -> str:
    """Where in a user's ``file`` it went wrong, as ``file:12``; the file alone where no line of it is to blame."""
    if isinstance(error, SyntaxError):
        return f"{file}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else file
