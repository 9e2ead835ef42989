"""The shuffle service of a host: hands out what tasks on it have left, over TCP.

As an external shuffle service does, it lives on when a worker is killed. Whoever asks sends eight
bytes, a number, and gets so many bytes. Each destination has a port of its own, by which the links'
logs tell the flows apart.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from testbed.errors import UserError
from testbed.ports import SENDER_PORT
from testbed.traffic.base import FlowSpec
from testbed.traffic.sockets import abort, read_congestion, serving

REQUEST = struct.Struct(">Q")
_SLICE = memoryview(bytes(256 * 1024))
_WAIT_S = 0.1


def port_of(destination: int) -> int:
    """Where the worker of this number fetches, at any host."""
    return SENDER_PORT + destination


@dataclass
class _Asked:
    """What is still to be read and sent on a connection."""

    request: bytes = b""
    left_bytes: int = 0


class ShuffleService:
    """Serves from a thread until it is closed; ``failed`` holds what should end the flow."""

    def __init__(self, spec: FlowSpec, address: str, destinations: Sequence[int]) -> None:
        """Listens at once, under the flow's congestion controller. Raises UserError, OSError."""
        self._congestion = spec.tcp_congestion
        self._listening: list[socket.socket] = []
        self._connections: dict[socket.socket, _Asked] = {}
        self._selector = selectors.DefaultSelector()
        self._closing = threading.Event()
        self.failed: UserError | None = None
        try:
            for number in destinations:
                own = spec.model_copy(update={"flow": number, "sender_address": address})
                sock = serving(own)
                self._listening.append(sock)
                sock.setblocking(False)
                self._selector.register(sock, selectors.EVENT_READ)
        except BaseException:
            self._close_all()
            raise
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Reset all connections: nothing outlives the measurement."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._close_all()

    def _close_all(self) -> None:
        for sock in self._connections:
            with suppress(OSError):
                abort(sock)
        for sock in self._listening:
            sock.close()
        self._selector.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            for key, events in self._selector.select(_WAIT_S):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock in self._connections:
                    self._carry(sock, events)
                else:
                    self._accept(sock)

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except OSError:
            return
        found = read_congestion(sock)
        if found != self._congestion:
            self.failed = UserError(
                f"congestion controller {self._congestion!r} was asked for, but a connection of "
                f"the shuffle service has {found!r}"
            )
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[sock] = _Asked()
        self._selector.register(sock, selectors.EVENT_READ)

    def _carry(self, sock: socket.socket, events: int) -> None:
        asked = self._connections[sock]
        try:
            if events & selectors.EVENT_READ and not asked.left_bytes:
                data = sock.recv(REQUEST.size - len(asked.request))
                if not data:
                    raise ConnectionResetError
                asked.request += data
                if len(asked.request) == REQUEST.size:
                    (asked.left_bytes,) = REQUEST.unpack(asked.request)
                    asked.request = b""
            with suppress(BlockingIOError):
                while asked.left_bytes:
                    asked.left_bytes -= sock.send(_SLICE[: min(asked.left_bytes, len(_SLICE))])
            wanted = selectors.EVENT_WRITE if asked.left_bytes else selectors.EVENT_READ
            self._selector.modify(sock, wanted)
        except BlockingIOError:
            pass
        except OSError:
            del self._connections[sock]
            self._selector.unregister(sock)
            sock.close()
