"""Addresses, routes and paths of a topology. Pure.

Every link is a subnet of its own, with room for two: a /30 in 10.0.0.0/8, or a /126 with the same
last 32 bits, by which the links' logs know an address.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from analysis.files import IPV6_PREFIX
from testbed.system.rtnl import Route

MAX_LINKS = 1 << 16


@dataclass(frozen=True)
class PlannedLink:
    """A link between nodes a and b with its addresses, in order of creation."""

    index: int
    a: str
    b: str
    ipv6: bool = False

    @property
    def subnet(self) -> str:
        """With prefix length."""
        return f"{self._address(0)}/{self.prefix_length}"

    @property
    def prefix_length(self) -> int:
        """Of the subnet."""
        return 126 if self.ipv6 else 30

    def address(self, node: str) -> str:
        """Of that node's end, without prefix length."""
        return self._address(1 if node == self.a else 2)

    def interface(self, node: str) -> str:
        """The address of that node's end, with prefix length."""
        return f"{self.address(node)}/{self.prefix_length}"

    def other(self, node: str) -> str:
        """The node at the far end."""
        return self.b if node == self.a else self.a

    def _address(self, host: int) -> str:
        number = 10 << 24 | self.index << 8 | host
        if self.ipv6:
            return str(ipaddress.IPv6Address(IPV6_PREFIX | number))
        return str(ipaddress.IPv4Address(number))


class Plan:
    """Addresses and routes along the fewest hops; among equals the link created first."""

    def __init__(
        self,
        links: Sequence[tuple[str, str]],
        *,
        ipv6: bool = False,
        broken: Collection[int] = (),
    ) -> None:
        """``links``: the two nodes of each. ``broken``: those that no path takes, by their place;
        addresses are as with them.
        """
        if len(links) > MAX_LINKS:
            raise ValueError(f"{len(links)} links; 10.0.0.0/8 is divided among at most {MAX_LINKS}")
        self.links = [PlannedLink(index, a, b, ipv6) for index, (a, b) in enumerate(links)]
        self._at: dict[str, list[PlannedLink]] = {}
        for link in self.links:
            for node in (link.a, link.b):
                usable = self._at.setdefault(node, [])
                if link.index not in broken:
                    usable.append(link)
        # towards[d][n]: hops from n to d and the link to take
        self._towards = {node: self._search(node) for node in self._at}

    def _search(self, destination: str) -> dict[str, tuple[int, PlannedLink | None]]:
        found: dict[str, tuple[int, PlannedLink | None]] = {destination: (0, None)}
        queue = deque([destination])
        while queue:
            node = queue.popleft()
            for link in self._at[node]:
                if link.other(node) not in found:
                    found[link.other(node)] = (found[node][0] + 1, link)
                    queue.append(link.other(node))
        return found

    def address(self, node: str) -> str | None:
        """The address by which traffic knows a node: that of its first link; None for a node
        without links.
        """
        links = self._at.get(node)
        return links[0].address(node) if links else None

    def path(self, source: str, destination: str) -> list[tuple[PlannedLink, bool]] | None:
        """Links from source to destination, and whether each is passed from its a to its b; None if
        there is no way.
        """
        towards = self._towards.get(destination, {})
        if source not in towards:
            return None
        path = []
        node = source
        while (link := towards[node][1]) is not None:
            path.append((link, node == link.a))
            node = link.other(node)
        return path

    def routes(self, node: str) -> list[Route]:
        """Routes to every subnet that ``node`` is not on, the most common gateway as the default
        route.
        """
        via: dict[str, str] = {}
        for link in self.links:
            if node in (link.a, link.b):
                continue
            ways = [
                self._towards[end][node] for end in (link.a, link.b) if node in self._towards[end]
            ]
            if ways:
                _, first = min(ways, key=lambda way: way[0])
                assert first is not None
                via[link.subnet] = first.address(first.other(node))
        if not via:
            return []
        default = Counter(via.values()).most_common(1)[0][0]
        special = [Route(subnet, gateway) for subnet, gateway in via.items() if gateway != default]
        return [Route("default", default), *special]
