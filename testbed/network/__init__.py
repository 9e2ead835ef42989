"""Networks: a topology built out of namespaces, ready for traffic."""

from testbed.network.build import build
from testbed.network.network import (
    Bottleneck,
    Host,
    Network,
    OpenLink,
    Pair,
    PathLink,
    ReturnPath,
)

__all__ = ["Bottleneck", "Host", "Network", "OpenLink", "Pair", "PathLink", "ReturnPath", "build"]
