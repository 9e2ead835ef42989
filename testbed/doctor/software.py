"""Probes of programs, libraries and Python packages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import partial
from importlib import metadata

from testbed.doctor.finding import Finding, verdict


def tool(name: str, package: str, cost: str, essential: bool = False) -> Finding:
    """A program on PATH."""
    path = shutil.which(name)
    return verdict(
        name,
        path is not None,
        path or "not on PATH",
        cost=cost,
        remedy=f"apt-get install {package}",
        essential=essential,
    )


tools: list[Callable[[], Finding]] = [
    partial(tool, "mnexec", "mininet", "no hosts and routers can be started", True),
    partial(
        tool,
        "setpriv",
        "util-linux",
        "processes could outlive a killed run, so none is started",
        True,
    ),
    partial(tool, "bash", "bash", "Mininet's nodes are shells", True),
    partial(tool, "ip", "iproute2", "nothing in a run; handy for looking into namespaces"),
    partial(tool, "tc", "iproute2", "nothing in a run; handy for looking at qdiscs"),
    partial(tool, "ethtool", "ethtool", "nothing in a run; handy for looking at offloads"),
    partial(tool, "tcpdump", "tcpdump", "no captures (--pcap)"),
    partial(tool, "gcc", "gcc", "the relay cannot be compiled"),
    partial(tool, "clang", "clang", "the eBPF datapath cannot be compiled"),
]


def libbpf() -> Finding:
    """The library that loads eBPF programs, asked for as the datapath does."""
    from agent.ebpf.libbpf import library
    from agent.errors import AgentError

    try:
        library()
        found = True
    except AgentError:
        found = False
    return verdict(
        "libbpf",
        found,
        "libbpf.so.1" if found else "not found",
        cost="no eBPF datapath: `--cc policy` samples TCP_INFO instead of seeing every ACK",
        remedy="apt-get install libbpf1",
    )


def datapath() -> Finding:
    """How `--cc policy` would reach the kernel: ACK by ACK through eBPF, or by TCP_INFO."""
    from agent.datapath import unavailable

    reasons = unavailable()
    ebpf = reasons["ebpf"]
    if ebpf is None:
        return Finding("policy datapath", "ok", "eBPF, every ACK")
    if reasons["portable"] is None:
        cost = (
            "`--cc policy` samples TCP_INFO and caps the pacing rate instead of seeing every ACK "
            "and setting cwnd"
        )
        return Finding("policy datapath", "limited", "TCP_INFO", cost, ebpf)
    return Finding(
        "policy datapath", "missing", "none", "no `--cc policy`", f"{ebpf}; {reasons['portable']}"
    )


def torch() -> Finding:
    """PyTorch, for training and for models on CUDA; the bundled models run without."""
    present = _installed("torch")
    return verdict(
        "PyTorch",
        present,
        f"{metadata.version('torch')}" if present else "not installed",
        cost="no `tbtest train`, and no models on CUDA; the bundled ones run on the CPU",
        remedy="make policy",
    )


def relay() -> Finding:
    """The compiled relay, the default link backend."""
    from testbed.links.relay.backend import PROGRAM

    return verdict(
        "relay",
        PROGRAM.exists(),
        str(PROGRAM) if PROGRAM.exists() else "not compiled",
        cost=(
            "links can be emulated by tc only, far less exactly, and only where the kernel has "
            "netem"
        ),
        remedy=f"make -C {PROGRAM.parent}",
        essential=True,
    )


def python_packages() -> Finding:
    """Everything that tbtest itself requires is installed."""
    try:
        required = [entry for entry in metadata.requires("tbtest") or [] if "extra ==" not in entry]
    except metadata.PackageNotFoundError:
        detail = "tbtest itself is not installed as a package; its requirements cannot be checked"
        return Finding(
            "Python packages",
            "limited",
            detail,
            "nothing, if it runs from a checkout",
            "make setup",
        )
    lacking = []
    for entry in required:
        match = re.match(r"[A-Za-z0-9._-]+", entry)
        assert match is not None
        # Requirements for other versions of Python carry a marker; the installer has decided about
        # those.
        if ";" not in entry and not _installed(match[0]):
            lacking.append(match[0])
    return verdict(
        "Python packages",
        not lacking,
        f"missing: {', '.join(lacking)}" if lacking else f"{len(required)} required ones installed",
        cost="tbtest does not run",
        remedy="make setup",
        essential=True,
    )


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
