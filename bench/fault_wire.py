"""A relay between agent and server on unix sockets, whose connections can be cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class Relay:
    """Listens at ``path`` and forwards to ``target``. ``cut`` is what an unplugged cable with
    resets looks like.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self._path, self._target = path, target
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def mend(self) -> None:
        """Accept connections (again)."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen()
        self._listener = listener
        self._start(self._accept, listener)

    def cut(self) -> None:
        """End all connections and refuse new ones. Does nothing where they are cut already."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._path.unlink()
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.join()
        if listener is not None:
            listener.close()

    def _start(self, action: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=action, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self._target))
            except OSError:
                near.close()
                far.close()
                continue
            self._start(self._join, near, far)

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        """Both directions of one connection, until either side ends."""
        with near, far:
            with self._lock:
                self._open |= {near, far}
                cut = self._listener is None
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            if not cut:
                _pump(near, far)
            for end in (near, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()
            with self._lock:
                self._open -= {near, far}


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
