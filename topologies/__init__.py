"""Networks as Mininet ``Topo`` classes, one per file. See docs/reference/topologies.md."""

from topologies.base import DurationNs, Emulated, HostPair, Options, Topology, create
from topologies.errors import TopologyError
from topologies.registry import TOPOLOGIES, find

__all__ = [
    "TOPOLOGIES",
    "DurationNs",
    "Emulated",
    "HostPair",
    "Options",
    "Topology",
    "TopologyError",
    "create",
    "find",
]
