"""Probes of what the kernel offers and what we may ask of it."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from agent.ebpf import bpffs
from agent.errors import AgentError
from testbed.doctor.finding import Finding, verdict
from testbed.errors import UserError
from testbed.system.netns import NetNs
from testbed.system.sysctl import write_sysctls

_AS_ROOT = "run it with sudo"
# linux/capability.h
_CAPABILITIES = {
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
_ESSENTIAL = ("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN")


def version() -> Finding:
    """Linux 5.14 brought SO_NETNS_COOKIE, by which namespaces are told apart."""
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2])
    return verdict(
        "kernel",
        numbers >= (5, 14),
        f"Linux {release}",
        cost="namespaces cannot be told apart",
        remedy="boot a kernel of version 5.14 or later",
        essential=True,
    )


def effective_capabilities(status: str) -> set[str]:
    """Names of those of ours that the text of /proc/self/status grants."""
    (bits,) = (
        int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")
    )
    return {name for name, number in _CAPABILITIES.items() if bits >> number & 1}


def root() -> Finding:
    """Root and its capabilities; containers often take some away."""
    granted = effective_capabilities(Path("/proc/self/status").read_text())
    lacking = [name for name in _CAPABILITIES if name not in granted]
    if not lacking and os.geteuid() == 0:
        return Finding("root", "ok", "all capabilities needed", essential=True)
    return Finding(
        "root",
        "missing" if os.geteuid() != 0 or set(lacking) & set(_ESSENTIAL) else "limited",
        f"uid {os.geteuid()}, without {', '.join(lacking) or 'none'}",
        cost=(
            "no networks can be built without the NET and ADMIN ones; BPF and PERFMON: no eBPF "
            "datapath; SYS_NICE: the relay runs without real-time priority"
        ),
        remedy=f"{_AS_ROOT}; in a container start it with --privileged",
        essential=True,
    )


def namespaces() -> Finding:
    """A network namespace can be made."""
    try:
        NetNs.create().close()
        problem = ""
    except OSError as error:
        problem = str(error)
    return verdict(
        "network namespaces",
        not problem,
        problem or "can be made",
        cost="no networks can be built",
        remedy=f"{_AS_ROOT}; in a container start it with --privileged",
        essential=True,
    )


def sysctls() -> Finding:
    """The settings of a namespace can be written: containers often mount /proc/sys read-only."""
    problem = ""
    try:
        with NetNs.create() as scratch:
            write_sysctls(scratch, {"net.ipv4.ip_forward": "1"})
    except (OSError, UserError) as error:
        problem = str(error)
    return verdict(
        "/proc/sys",
        not problem,
        problem or "can be written",
        cost="no routers: the hosts of a run cannot reach each other",
        remedy="run it with sudo (mount -o remount,rw /proc/sys); a container needs --privileged",
        essential=True,
    )


def pins() -> Finding:
    """Folders for eBPF objects can be made, in a BPF file system that is mounted if need be."""
    problem = ""
    try:
        bpffs.probe(bpffs.ROOT / f"tbtest-doctor-{os.getpid()}")
    except AgentError as error:
        problem = str(error)
    return verdict(
        str(bpffs.ROOT),
        not problem,
        problem or "can be written",
        cost="no eBPF datapath: `--cc policy` samples TCP_INFO instead of seeing every ACK",
        remedy="run it with sudo; a container needs --privileged",
    )


def tun() -> Finding:
    """A TUN device can be made: the relay's way to packets."""
    problem = ""
    try:
        with NetNs.create() as scratch, scratch.inside(), IPRoute() as ip:
            ip.link("add", ifname="probe", kind="tuntap", mode="tun")
    except (OSError, NetlinkError) as error:
        problem = str(error)
    return verdict(
        "TUN",
        not problem,
        problem or "can be made",
        cost="the relay cannot emulate links",
        remedy="modprobe tun; in a container pass --device /dev/net/tun",
        essential=True,
    )


def packet_sockets() -> Finding:
    """Packet sockets, for captures."""
    problem = ""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as error:
        problem = error.strerror or str(error)
    return verdict(
        "AF_PACKET",
        not problem,
        problem or "can be opened",
        cost="no captures (--pcap)",
        remedy=f"{_AS_ROOT}, on a kernel with CONFIG_PACKET",
    )


_BTF = Path("/sys/kernel/btf/vmlinux")


def btf() -> Finding:
    """Type information that eBPF programs are fitted to."""
    return verdict(
        "BTF",
        _BTF.exists(),
        str(_BTF),
        cost="no eBPF datapath: `--cc policy` samples TCP_INFO instead of seeing every ACK",
        remedy="boot a kernel with CONFIG_DEBUG_INFO_BTF",
    )


def struct_ops() -> Finding:
    """Congestion control written in eBPF (Linux 5.6)."""
    try:
        present = b"bpf_struct_ops_tcp_congestion_ops" in _BTF.read_bytes()
    except OSError:
        present = False
    return verdict(
        "eBPF congestion control",
        present,
        "struct_ops tcp_congestion_ops" if present else "the kernel's types do not list it",
        cost="no eBPF datapath: `--cc policy` samples TCP_INFO instead of seeing every ACK",
        remedy="boot a kernel with CONFIG_BPF_JIT and CONFIG_DEBUG_INFO_BTF, version 5.13 or later",
    )
