"""Sysctls of a network namespace: set, and read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from testbed.errors import UserError, explain
from testbed.system.netns import NetNs


def _path(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def read_sysctls(netns: NetNs, names: Iterable[str]) -> dict[str, str]:
    """The values of those that this kernel has, words separated by one space."""
    with netns.inside():  # /proc/sys/net shows the namespace of the reading thread
        return {
            name: " ".join(_path(name).read_text().split())
            for name in names
            if _path(name).exists()
        }


def write_sysctls(netns: NetNs, values: Mapping[str, str]) -> dict[str, str]:
    """Set those that this kernel has and return them as read back. Raises UserError if one is not
    what was asked.
    """
    with netns.inside():
        for name, value in values.items():
            if _path(name).exists():
                try:
                    _path(name).write_text(value)
                except OSError as error:
                    raise UserError(
                        f"sysctl {name} = {value}: {explain(error, _path(name))}"
                    ) from error
    found = read_sysctls(netns, values)
    for name, value in found.items():
        if value != values[name]:
            raise UserError(f"sysctl {name}: the kernel has {value} instead of {values[name]}")
    return found
