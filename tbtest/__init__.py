"""The names to import in code of one's own; everything else in this project may change.

A policy in user space (`tbtest run --cc policy:./mine.py:Mine`):
    Policy        what a policy may have; only `decide` is needed
    PolicyContext what its constructor is given, if it takes an argument
    FlowBatch     the flows to decide for and what is known of them
    Actions       what it answers: a pacing rate and a cwnd for each flow
    FIELDS, F     the columns of a flow's windows: names, and the index of each

A network (`--topology ./mine.py:Mine`):
    Topology, Options, Emulated, HostPair

Traffic (`--flow ./mine.py:Mine`): a class with `is_on(elapsed_ns)`
    FlowOptions   base of its options

Results:
    load_run      a run folder, read
"""

from typing import TYPE_CHECKING

from policy.api import Actions, FlowBatch, Policy, PolicyContext
from policy.tasks.congestion.fields import FIELDS, F

if TYPE_CHECKING:
    from analysis.run import load_run
    from testbed.traffic.base import Options as FlowOptions
    from topologies import Emulated, HostPair, Options, Topology

# Imported when asked for: the policy server needs neither pandas nor Mininet for a policy.
_LATE = {
    "FlowOptions": ("testbed.traffic.base", "Options"),
    "load_run": ("analysis.run", "load_run"),
    **{name: ("topologies", name) for name in ("Emulated", "HostPair", "Options", "Topology")},
}

__all__ = [
    "FIELDS",
    "Actions",
    "Emulated",
    "F",
    "FlowBatch",
    "FlowOptions",
    "HostPair",
    "Options",
    "Policy",
    "PolicyContext",
    "Topology",
    "load_run",
]


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, attribute = _LATE[name]
    return getattr(importlib.import_module(module), attribute)
