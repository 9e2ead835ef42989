"""How master and workers speak: JSON messages over a unix socket, as on a network of their own that
no traffic is on.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_NAME = "control.sock"
_LARGEST = 1 << 20
_RETRY_S = 0.05


def listening(folder: Path) -> socket.socket:
    """The master's end, in the cell's folder."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with _short(folder) as path:
            sock.bind(path)
        sock.listen(256)
    except BaseException:
        sock.close()
        raise
    return sock


def unlink(folder: Path) -> None:
    """Nobody connects any more."""
    (folder / _NAME).unlink(missing_ok=True)


def connected(folder: Path, patience_s: float) -> socket.socket:
    """A worker's end. Raises OSError if there is no master for so long."""
    deadline = time.monotonic() + patience_s
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    while True:
        try:
            with _short(folder) as path:
                sock.connect(path)
        except OSError:
            if time.monotonic() > deadline:
                sock.close()
                raise
            time.sleep(_RETRY_S)
        else:
            return sock


def send(sock: socket.socket, message: dict[str, Any]) -> None:
    """One message. Raises OSError if the other end has gone."""
    sock.send(json.dumps(message).encode())


def receive(sock: socket.socket) -> dict[str, Any] | None:
    """The next message; None at the end. Raises ValueError or TypeError for what is
    none.
    """
    data = b""
    with suppress(ConnectionError):
        data = sock.recv(_LARGEST)
    if not data:
        return None
    message = json.loads(data)
    if not isinstance(message, dict):
        raise TypeError(f"no message: {data[:100]!r}")
    return message


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The socket's path by the open folder: names of unix sockets have 107 bytes at most."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{_NAME}"
    finally:
        os.close(fd)
