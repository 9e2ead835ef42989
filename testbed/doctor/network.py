"""Probes of the kernel's network stack, made in a scratch namespace that is gone afterwards."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from testbed.doctor.finding import Finding, verdict
from testbed.errors import UserError
from testbed.system.netns import NetNs
from testbed.system.offload import offloads_off
from testbed.system.rtnl import create_veth

_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


def offloads() -> Finding:
    """Segmentation offloads of a veth can be turned off, and stay off."""
    problem = ""
    try:
        with NetNs.create() as scratch:
            create_veth(scratch, "left", scratch, "right")
            offloads_off(scratch, "left")
    except (OSError, UserError) as error:
        problem = str(error)
    return verdict(
        "offloads",
        not problem,
        problem or "can be turned off",
        cost="packets would pass in bundles of up to 64 kB, and no emulated rate could be trusted",
        remedy="run it with sudo, on a kernel with CONFIG_VETH",
        essential=True,
    )


def congestion_controller(name: str, cost: str, essential: bool = False) -> Finding:
    """A socket accepts it; root loads its module by asking."""
    problem = ""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except (
            PermissionError
        ):  # only root may use those that the kernel does not offer to everyone
            problem = "" if name in _AVAILABLE.read_text().split() else "not loaded"
        except OSError as error:
            problem = error.strerror or str(error)
    return verdict(
        f"tcp {name}",
        not problem,
        problem or "available",
        cost=cost,
        remedy=f"as root: modprobe tcp_{name}; or a kernel with CONFIG_TCP_CONG_{name.upper()}",
        essential=essential,
    )


congestion_controllers: list[Callable[[], Finding]] = [
    partial(congestion_controller, "cubic", "no comparison with cubic", True),
    partial(congestion_controller, "bbr", "no comparison with bbr: name others by --cc"),
    partial(congestion_controller, "reno", "no comparison with reno"),
]

_TC = "no `--link-backend tc`; the relay (the default) does not need it"
_UNUSED = "nothing: tbtest's own links need none"


def qdisc(kind: str, arguments: Mapping[str, Any], cost: str) -> Finding:
    """The kernel has the queueing discipline, or loads it when asked."""
    problem = ""
    try:
        with NetNs.create() as scratch, scratch.inside(), IPRoute() as ip:
            ip.tc("add", kind, index=1, handle=0x10000, **arguments)
    except NetlinkError as error:
        problem = "not in this kernel" if error.code == 2 else str(error)
    except OSError as error:
        problem = str(error)
    return verdict(
        f"qdisc {kind}",
        not problem,
        problem or "available",
        cost=cost,
        remedy=f"modprobe sch_{kind}; or a kernel with CONFIG_NET_SCH_{kind.upper()}",
    )


_RATE = {"rate": "1mbit", "burst": 3200, "limit": 10_000}
qdiscs: list[Callable[[], Finding]] = [
    partial(qdisc, "htb", {"default": 1}, _TC),
    partial(qdisc, "tbf", _RATE, _UNUSED),
    partial(qdisc, "bfifo", {"limit": 10_000}, _TC),
    partial(qdisc, "netem", {"delay": 1000}, _TC),
    partial(qdisc, "fq", {}, "nothing: BBR paces itself since Linux 4.13"),
    partial(qdisc, "fq_codel", {}, _UNUSED),
]
