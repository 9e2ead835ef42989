"""Building a network: namespaces and links by Mininet and the link backend, addresses, routes and
sysctls by us.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from testbed.errors import UserError
from testbed.links.base import FORWARD, REVERSE, Attachment, Direction, LinkBackend, LinkSpec
from testbed.network.addressing import Plan
from testbed.network.mininet_net import NamespaceNode, ScopedMininet, VethLink
from testbed.network.network import Bottleneck, Host, Network, OpenLink, Pair, PathLink
from testbed.network.routing import Routing
from testbed.system.offload import offloads_off
from testbed.system.rtnl import add_routes, configure, describe_interfaces
from testbed.system.scope import Scope
from testbed.system.sysctl import write_sysctls
from topologies import Emulated, HostPair, Topology

_ALL = {
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}
# Quiet interfaces: neighbour discovery and router solicitations would show up in the links' logs.
_ONLY_IPV4 = {
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}
# Addresses can be used at once, without a search for duplicates, and nobody is asked for more.
_IPV6 = {
    "net.ipv6.conf.all.disable_ipv6": "0",
    "net.ipv6.conf.default.disable_ipv6": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
}
_ROUTER = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
}
# Every flow starts without memory of the last one, bursts do not depend on the RTT estimate, and
# socket buffers reach 64 MB: more than twice the BDP of 1 Gbit/s and 200 ms, so that they are never
# the limit.
_HOST = {
    "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv4.tcp_tso_rtt_log": "0",
    "net.ipv4.tcp_rmem": "4096 131072 67108864",
    "net.ipv4.tcp_wmem": "4096 65536 67108864",
}

_ECN = {"net.ipv4.tcp_ecn": "1"}  # ask for ECN, instead of only agreeing to it


def build(
    topology: Topology, backend: LinkBackend, bottleneck: Bottleneck, scope: Scope, log_dir: Path
) -> Network:
    """Build ``topology`` (from ``topologies.create``); its links log into ``log_dir``.

    Raises UserError if something cannot be set up as asked. Everything ends with ``scope``.
    """
    declared = topology.links(sort=True, withInfo=True)  # the order in which Mininet adds them
    plan = Plan([(node1, node2) for node1, node2, _ in declared], ipv6=bottleneck.ipv6)
    links: dict[str, OpenLink] = {}
    sysctls, offloads, interfaces = {}, {}, {}
    hosts_sysctls = {**_HOST, **(_ECN if bottleneck.ecn else {}), **bottleneck.sysctls}

    def prepare(node: NamespaceNode, router: bool) -> None:
        sysctls[node.name] = write_sysctls(
            node.netns,
            {
                **_ALL,
                **(_IPV6 if bottleneck.ipv6 else _ONLY_IPV4),
                **(_ROUTER if router else hosts_sysctls),
            },
        )

    def open_link(
        index: int,
        emulated: Emulated,
        node1: NamespaceNode,
        node2: NamespaceNode,
        ifname1: str,
        ifname2: str,
    ) -> None:
        planned = plan.links[index]
        a = Attachment(node1.netns, ifname1, planned.interface(node1.name))
        b = Attachment(node2.netns, ifname2, planned.interface(node2.name))
        spec = link_spec(emulated, bottleneck, len(links))
        link = backend.open(scope, spec, a, b, log_dir)
        links[emulated.name] = OpenLink(
            len(links), emulated.name, emulated.bottleneck, spec, link, a, b
        )

    net = ScopedMininet(topology, scope, prepare, open_link)
    for node in net.hosts:
        plain = _plain_addresses(net, plan, node)
        offloads[node.name] = {ifname: offloads_off(node.netns, ifname) for ifname in plain}
        configure(node.netns, plain)
        interfaces[node.name] = describe_interfaces(node.netns)
    for node in net.hosts:
        add_routes(node.netns, plan.routes(node.name))
    hosts, routers = {}, {}
    for node in net.hosts:
        address = plan.address(node.name)
        if topology.nodeInfo(node.name).get("router"):
            routers[node.name] = node.netns
        elif address is not None:
            hosts[node.name] = Host(node.name, node.netns, address)
    pairs = [
        _pair(index, pair, plan, declared, hosts, links)
        for index, pair in enumerate(topology.pairs())
    ]
    environment = {"sysctls": sysctls, "offloads": offloads, "interfaces": interfaces}
    routing = Routing(
        [(node1, node2) for node1, node2, _ in declared],
        {
            info["emulated"].name: index
            for index, (_, _, info) in enumerate(declared)
            if info.get("emulated") is not None
        },
        {node.name: node.netns for node in net.hosts},
        bottleneck.ipv6,
    )
    return Network(hosts, routers, pairs, links, environment, routing)


def link_spec(emulated: Emulated, bottleneck: Bottleneck, index: int) -> LinkSpec:
    """What the backend is asked for: of a bottleneck what the run asks in either direction, of any
    other link the delay alone.
    """
    seeds = [
        int(np.random.SeedSequence([bottleneck.seed, index, way]).generate_state(1)[0])
        for way in (FORWARD, REVERSE)
    ]
    reverse = Direction(delay_ns=emulated.reverse_delay_ns, seed=seeds[REVERSE])
    if not emulated.bottleneck:
        return LinkSpec(
            emulated.name,
            Direction(delay_ns=emulated.forward_delay_ns, seed=seeds[FORWARD]),
            reverse,
        )
    forward = Direction(
        capacity=bottleneck.capacity,
        queue=bottleneck.queue,
        delay_ns=emulated.forward_delay_ns,
        jitter_ns=bottleneck.jitter_ns,
        reorder=bottleneck.reorder,
        duplicate=bottleneck.duplicate,
        policer=bottleneck.policer,
        wifi_ns=bottleneck.wifi_ns,
        loss=bottleneck.loss,
        seed=seeds[FORWARD],
    )
    back = bottleneck.reverse
    reverse = replace(reverse, capacity=back.capacity, queue=back.queue, loss=back.loss)
    return LinkSpec(emulated.name, forward, reverse)


def _plain_addresses(net: ScopedMininet, plan: Plan, node: NamespaceNode) -> dict[str, str]:
    """Interface -> address with prefix length, of the node's plain links; a backend configures its
    own ends.
    """
    addresses = {}
    for planned, link in zip(plan.links, net.links, strict=True):
        for interface in (link.intf1, link.intf2):
            if interface.node is node:
                interface.ip, interface.prefixLen = (
                    planned.address(node.name),
                    str(planned.prefix_length),
                )  # for Mininet's own use
                if isinstance(link, VethLink):
                    addresses[interface.name] = planned.interface(node.name)
    return addresses


def _pair(
    index: int,
    pair: HostPair,
    plan: Plan,
    declared: list[tuple[str, str, dict[str, Any]]],
    hosts: dict[str, Host],
    links: dict[str, OpenLink],
) -> Pair:
    def emulated_path(source: str, destination: str) -> tuple[PathLink, ...]:
        path = plan.path(source, destination)
        if path is None:
            raise UserError(f"topology: there is no path from {source} to {destination}")
        steps = [(declared[link.index][2].get("emulated"), forward) for link, forward in path]
        return tuple(
            PathLink(emulated.name, forward) for emulated, forward in steps if emulated is not None
        )

    def delay_ns(path: tuple[PathLink, ...]) -> int:
        specs = [(links[step.name].spec, step.forward) for step in path]
        return sum((spec.forward if forward else spec.reverse).delay_ns for spec, forward in specs)

    there, back = (
        emulated_path(pair.sender, pair.receiver),
        emulated_path(pair.receiver, pair.sender),
    )

    def met(path: tuple[PathLink, ...], forward: bool) -> str | None:
        """The first bottleneck that a path passes in that direction."""
        for step in path:
            if step.forward == forward and links[step.name].bottleneck:
                return step.name
        return None

    return Pair(
        index=index,
        sender=hosts[pair.sender],
        receiver=hosts[pair.receiver],
        role=pair.role,
        forward_delay_ns=delay_ns(there),
        reverse_delay_ns=delay_ns(back),
        path=there,
        bottleneck=met(there, forward=True),
        back=back,
        back_bottleneck=met(back, forward=False),
    )
