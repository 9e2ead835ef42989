"""What a result depends on besides the scenario: kernel, sysctls, processor, versions. Recorded
with every run.
"""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

_SYSCTLS = (
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_available_congestion_control",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/tcp_ecn",
    "net/ipv4/tcp_sack",
    "net/ipv4/tcp_timestamps",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/core/default_qdisc",
    "net/core/rmem_max",
    "net/core/wmem_max",
)
_PACKAGES = (
    "tbtest",
    "mininet",
    "pyroute2",
    "numpy",
    "pyarrow",
    "grpcio",
    "torch",
    "transformers",
    "peft",
    "scapy",
)


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return None


def virtual_time(command_line: str) -> dict[str, str] | None:
    """What of virtual time the text of /proc/cmdline says: the kind of clock, where it
    began, and the SHA-256 of the kernel's configuration. None on a kernel with ordinary time.
    """
    words = dict(word.partition("=")[::2] for word in command_line.split())
    if "time-travel" not in words:
        return None
    return {
        "clock": words["time-travel"],
        "start_ns": words.get("time-travel-start", ""),
        "kernel_configuration_sha256": words.get("tbtest_kernel", ""),
    }


def describe_environment() -> dict[str, Any]:
    """A JSON-ready description; what this system does not have is null."""
    return {
        "kernel": platform.release(),
        "kernel_version": platform.version(),
        "virtual_time": virtual_time(_read("/proc/cmdline") or ""),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpu_model": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "cpu_pressure": _read("/proc/pressure/cpu"),
        "clock_source": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "sysctls": {name.replace("/", "."): _read(f"/proc/sys/{name}") for name in _SYSCTLS},
        "versions": {package: _version(package) for package in _PACKAGES},
        "notes": ["bbr is the kernel's own, version 1 in mainline Linux"],
    }
