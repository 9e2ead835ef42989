"""Errors a user can cause and mend."""

from __future__ import annotations


class TopologyError(ValueError):
    """A topology that is unknown, breaks the protocol, or was given bad options. The message says which and how."""
