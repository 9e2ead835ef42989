"""Whether something is bound to a port in this network namespace (proc_pid_net(5))."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_LISTEN = "0A"  # net/tcp_states.h
_TABLES = {"tcp": True, "tcp6": True, "udp": False, "udp6": False}


def bound_ports(table: str, *, listening: bool) -> set[int]:
    """Local ports in the text of a table of /proc/net; only those that listen, where asked."""
    ports = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and (not listening or fields[3] == _LISTEN):
            ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def is_bound(port: int, tables: Iterable[str] = _TABLES) -> bool:
    """Whether a TCP socket listens on ``port`` or a UDP socket is bound to it."""
    for name in tables:
        path = Path("/proc/thread-self/net") / name
        if path.exists() and port in bound_ports(path.read_text(), listening=_TABLES[name]):
            return True
    return False
