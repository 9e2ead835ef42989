"""Errors a user can cause and mend."""

from __future__ import annotations

from plugins import place


class TopologyError(ValueError):
    """A topology that is unknown, breaks the protocol, or was given bad options. The message says
    which and how.
    """


__all__ = ["TopologyError", "place"]
