"""The names to import in code of one's own; everything else in this project may change.

A policy in user space (`tbtest run --cc policy:./mine.py:Mine`):
    Policy        what a policy may have; only `decide` is needed
    PolicyContext what its constructor is given, if it takes an argument
    FlowBatch     the flows to decide for and what is known of them
    Actions       what it answers: a pacing rate and a cwnd for each flow
    FIELDS, F     the columns of a flow's windows: names, and the index of each

A network (`--topology ./mine.py:Mine`):
    Topology, Options, Emulated, HostPair

Results:
    load_run      a run folder, read
"""

from analysis.run import load_run
from policy.api import Actions, FlowBatch, Policy, PolicyContext
from policy.tasks.congestion.fields import FIELDS, F
from topologies import Emulated, HostPair, Options, Topology

__all__ = [
    "FIELDS",
    "Actions",
    "Emulated",
    "F",
    "FlowBatch",
    "HostPair",
    "Options",
    "Policy",
    "PolicyContext",
    "Topology",
    "load_run",
]
