"""Routes of a built network while some of its links fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from testbed.errors import UserError
from testbed.network.addressing import Plan
from testbed.system.netns import NetNs
from testbed.system.rtnl import change_routes
from topologies import Topology


@dataclass(frozen=True)
class Routing:
    """links: the two nodes of every link; places: where in it an emulated one stands, by name;
    nodes: all namespaces by name.
    """

    links: Sequence[tuple[str, str]] = ()
    places: Mapping[str, int] = field(default_factory=dict)
    nodes: Mapping[str, NetNs] = field(default_factory=dict)
    ipv6: bool = False

    def change(self, before: Collection[str], after: Collection[str]) -> None:
        """Make routes avoid the links ``after`` where they avoided ``before``. Raises UserError."""
        old, new = self._plan(before), self._plan(after)
        for name, netns in self.nodes.items():
            if old.routes(name) != new.routes(name):
                change_routes(netns, old.routes(name), new.routes(name))

    def _plan(self, broken: Collection[str]) -> Plan:
        return Plan(self.links, ipv6=self.ipv6, broken={self.places[name] for name in broken})


def check_detours(topology: Topology, broken: Collection[str]) -> None:
    """Raises UserError unless every pair can be reached, both ways, while all of these links
    fail.
    """
    declared = topology.links(sort=True, withInfo=True)
    places = {
        info["emulated"].name: index
        for index, (_, _, info) in enumerate(declared)
        if info.get("emulated") is not None
    }
    if unknown := [name for name in broken if name not in places]:
        raise UserError(
            f"failures: there is no emulated link {unknown[0]!r}; there are {', '.join(places)}"
        )
    plan = Plan([(a, b) for a, b, _ in declared], broken={places[name] for name in broken})
    for pair in topology.pairs():
        for ends in ((pair.sender, pair.receiver), (pair.receiver, pair.sender)):
            if plan.path(*ends) is None:
                raise UserError(
                    f"failures: without {', '.join(sorted(broken))} there is no path from "
                    f"{ends[0]} to {ends[1]}; use --topology two-paths, or another link"
                )
