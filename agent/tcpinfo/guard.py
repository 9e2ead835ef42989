"""Lifts the portable tier's caps when its agent falls silent: `python -m agent.tcpinfo.guard
STALE_NS`.

Lines on stdin: `cap PID FD INODE`, `free PID FD INODE`, `beat`. After STALE_NS without a line, and
at the end of the input, every cap is lifted. The agent caps anew with its next command.
"""

import os
import select
import signal
import sys
from collections.abc import Iterable

from agent.tcpinfo.borrow import UNLIMITED, SocketName, borrowed, cap


def lift(names: Iterable[SocketName]) -> None:
    """Remove the caps of those sockets that are still there."""
    for name in names:
        with borrowed(name) as sock:
            if sock:
                cap(sock, UNLIMITED)


def main(stale_ns: int) -> None:
    """Follow the agent until it ends."""
    # Ctrl-C goes to the whole group: the guard ends with its agent, not before.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    capped: set[SocketName] = set()
    pending = b""
    while True:
        ready, _, _ = select.select([0], [], [], stale_ns / 1e9)
        if not ready:
            lift(capped)
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            verb, _, rest = line.decode().partition(" ")
            if verb == "cap":
                capped.add(SocketName.parse(rest))
            elif verb == "free":
                capped.discard(SocketName.parse(rest))
    lift(capped)


if __name__ == "__main__":
    main(int(sys.argv[1]))
