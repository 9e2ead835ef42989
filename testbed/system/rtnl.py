"""Interfaces, addresses and routes inside namespaces, over netlink."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from testbed.errors import UserError
from testbed.system.netns import NetNs


@dataclass(frozen=True)
class Route:
    """A route by a gateway."""

    destination: str  # a subnet, or "default"
    gateway: str


def family(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def add_address(ip: IPRoute, index: int, address: str) -> None:
    """Give an interface an address, "10.0.0.1/24". Raises NetlinkError."""
    host, _, prefix = address.partition("/")
    ip.addr("add", index=index, family=family(host), address=host, prefixlen=int(prefix))


def create_veth(
    a: NetNs, a_name: str, b: NetNs, b_name: str, *, mtu_bytes: int = 1500, txqueuelen: int = 1000
) -> None:
    """Make a veth pair with one end in each namespace, never visible in any other. Raises
    UserError.

    A veth has no qdisc of its own, so that ``txqueuelen`` queues nothing unless one is added.
    """
    with a.inside(), IPRoute() as ip:
        common = {"mtu": mtu_bytes, "txqlen": txqueuelen}
        try:
            ip.link(
                "add",
                ifname=a_name,
                kind="veth",
                **common,
                peer={"ifname": b_name, "net_ns_fd": b.fd, **common},
            )
        except NetlinkError as error:
            raise UserError(f"cannot create the veth pair {a_name}, {b_name}: {error}") from error


def configure(netns: NetNs, addresses: Mapping[str, str]) -> None:
    """Give interfaces their addresses (with prefix length), bring them and the loopback up. Raises
    UserError.
    """
    with netns.inside(), IPRoute() as ip:
        try:
            ip.link("set", index=1, state="up")
            for ifname, address in addresses.items():
                index = _index(ip, ifname)
                add_address(ip, index, address)
                ip.link("set", index=index, state="up")
        except NetlinkError as error:
            raise UserError(f"cannot configure {', '.join(addresses)}: {error}") from error


def add_routes(netns: NetNs, routes: Sequence[Route]) -> None:
    """Add routes. Raises UserError."""
    with netns.inside(), IPRoute() as ip:
        for route in routes:
            try:
                ip.route(
                    "add",
                    family=family(route.gateway),
                    dst=route.destination,
                    gateway=route.gateway,
                )
            except NetlinkError as error:
                raise UserError(
                    f"cannot add the route {route.destination} via {route.gateway}: {error}"
                ) from error


def change_routes(netns: NetNs, old: Sequence[Route], new: Sequence[Route]) -> None:
    """Make these routes of those; no destination is without one in between. Raises UserError."""
    kept = {route.destination for route in new}
    with netns.inside(), IPRoute() as ip:
        for command, routes in (
            ("replace", [route for route in new if route not in old]),
            ("del", [route for route in old if route.destination not in kept]),
        ):
            for route in routes:
                try:
                    ip.route(
                        command,
                        family=family(route.gateway),
                        dst=route.destination,
                        gateway=route.gateway,
                    )
                except NetlinkError as error:
                    raise UserError(
                        f"cannot change the route {route.destination} via {route.gateway}: {error}"
                    ) from error


def set_congestion(netns: NetNs, name: str) -> None:
    """Make ``name`` the congestion controller of every TCP connection over a gateway, for programs
    that choose none (RTAX_CC_ALGO of the routes). Raises UserError if the kernel does not keep it.
    """
    with netns.inside(), IPRoute() as ip:
        try:
            for route in _gateway_routes(ip):
                ip.route(
                    "replace",
                    family=route["family"],
                    dst=_destination(route),
                    gateway=route.get_attr("RTA_GATEWAY"),
                    metrics={"cc_algo": name},
                )
            found = {_congestion_of(route) for route in _gateway_routes(ip)}
        except NetlinkError as error:
            raise UserError(f"congestion controller {name!r} of a route: {error}") from error
    if found != {name}:
        raise UserError(f"congestion controller {name!r} was asked for, the routes have {found}")


def _gateway_routes(ip: IPRoute) -> list[Any]:
    return [
        route
        for family in (socket.AF_INET, socket.AF_INET6)
        for route in ip.get_routes(family=family)
        if route.get_attr("RTA_GATEWAY") is not None
    ]


def _destination(route: Any) -> str:
    destination = route.get_attr("RTA_DST")
    return f"{destination}/{route['dst_len']}" if destination else "default"


def _congestion_of(route: Any) -> str | None:
    metrics = route.get_attr("RTA_METRICS")
    return metrics.get_attr("RTAX_CC_ALGO") if metrics else None


def describe_interfaces(netns: NetNs) -> dict[str, dict[str, str | int]]:
    """MTU, queue length and qdisc of every interface, but for the loopback."""
    with netns.inside(), IPRoute() as ip:
        return {
            message.get_attr("IFLA_IFNAME"): {
                "mtu_bytes": message.get_attr("IFLA_MTU"),
                "txqueuelen": message.get_attr("IFLA_TXQLEN"),
                "qdisc": message.get_attr("IFLA_QDISC"),
            }
            for message in ip.get_links()
            if message["index"] != 1
        }


def _index(ip: IPRoute, ifname: str) -> int:
    found = ip.link_lookup(ifname=ifname)
    if not found:
        raise UserError(f"there is no interface {ifname} in the namespace")
    return int(found[0])
