"""The traffic kinds by name."""

from __future__ import annotations

import importlib

from plugins import is_reference
from testbed.errors import UserError
from testbed.traffic.base import TrafficKind
from testbed.traffic.own import OwnKind

# Name -> module that offers it as KIND. Imported when asked for.
_MODULES = {
    "video": "testbed.traffic.video.kind",
    "bulk": "testbed.traffic.bulk",
    "onoff": "testbed.traffic.onoff",
    "dash": "testbed.traffic.dash.kind",
    "web": "testbed.traffic.web.kind",
    "jobs": "testbed.traffic.jobs.kind",
    "command": "testbed.traffic.command.kind",
    "call": "testbed.traffic.call.kind",
}
PROGRAMS = ("command", "call")
"""Kinds whose flows programs carry that choose ports, sockets and congestion control themselves;
what they send is known by the links' packet log.
"""


def kind_names() -> list[str]:
    """The registered kinds."""
    return list(_MODULES)


def kind(name: str) -> TrafficKind:
    """The traffic kind of that name, or of ``path/to/file.py:Class``, which runs the file.

    Raises UserError.
    """
    if is_reference(name):
        return OwnKind(name)
    if name not in _MODULES:
        raise UserError(
            f"flow {name!r}: unknown traffic kind; known: {', '.join(_MODULES)}; or "
            "path/to/file.py:Class"
        )
    found: TrafficKind = importlib.import_module(_MODULES[name]).KIND
    return found
