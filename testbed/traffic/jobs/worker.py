"""A worker: runs tasks in its slots. A task fetches its input over TCP, then takes its time.

Computing is a wait for a point in time that the start of the task, or the end of its transfer, and
the task's length determine, so that a late start does not add up.
"""

from __future__ import annotations

import mmap
import os
import queue
import select
import selectors
import signal
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.traffic.jobs import control
from testbed.traffic.jobs.shuffle import REQUEST, port_of
from testbed.traffic.sockets import abort
from testbed.units import NS_PER_S

_PATIENCE_S = 60.0  # until there is a master
_CONNECT_S = 15.0
_RETRY_S = 0.2
COUNTER = struct.Struct("q")


@dataclass(frozen=True)
class Place:
    """A worker of the cluster: its number, where it is, and how many slots it has."""

    worker: int
    address: str
    slots: int


class _Inputs:
    """Connections of one slot to the shuffle services, kept from task to task."""

    def __init__(self, place: Place, counters: mmap.mmap, slot: int) -> None:
        self._port = port_of(place.worker)
        self._counters, self._at = counters, slot * COUNTER.size
        self._sockets: dict[str, socket.socket] = {}
        self._buffer = bytearray(1 << 18)
        self._total = 0

    def fetch(self, parts: Sequence[tuple[str, int]]) -> None:
        """Get so many bytes from each address, all at the same time. A connection that breaks is
        made again, for the bytes that are missing.
        """
        left = {address: size for address, size in parts if size > 0}
        while left:
            try:
                self._fetch(left)
            except OSError:
                time.sleep(_RETRY_S)

    def _fetch(self, left: dict[str, int]) -> None:
        with selectors.DefaultSelector() as selector:
            for address, size in left.items():
                sock = self._connection(address)
                try:
                    sock.sendall(REQUEST.pack(size))
                except OSError:
                    self._drop(address)
                    raise
                selector.register(sock, selectors.EVENT_READ, address)
            while left:
                for key, _ in selector.select():
                    address = key.data
                    sock = self._sockets[address]
                    size = min(len(self._buffer), left[address])
                    try:
                        got = sock.recv_into(self._buffer, size, socket.MSG_TRUNC)
                        if not got:
                            raise ConnectionResetError
                    except OSError:
                        for other in list(left):  # what they still send belongs to this request
                            self._drop(other)
                        raise
                    self._count(got)
                    left[address] -= got
                    if not left[address]:
                        del left[address]
                        selector.unregister(sock)

    def _connection(self, address: str) -> socket.socket:
        sock = self._sockets.get(address)
        if sock is None:
            sock = socket.create_connection((address, self._port), _CONNECT_S)
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[address] = sock
        return sock

    def _drop(self, address: str) -> None:
        sock = self._sockets.pop(address, None)
        if sock is not None:
            with suppress(OSError):
                abort(sock)

    def _count(self, size: int) -> None:
        self._total += size
        COUNTER.pack_into(self._counters, self._at, self._total)


def _run(sock: socket.socket, tasks: queue.SimpleQueue[dict[str, Any]], inputs: _Inputs) -> None:
    """Run one task after another."""
    while True:
        task = tasks.get()
        begun_ns = int(task["start_ns"])
        fetched_ns = begun_ns
        if task["inputs"]:
            inputs.fetch([(address, size) for address, size in task["inputs"]])
            fetched_ns = max(begun_ns, time.monotonic_ns())
        due_ns = fetched_ns + int(task["compute_ns"])
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / NS_PER_S)
        late_ns = time.monotonic_ns() - due_ns
        with suppress(OSError):  # the master has gone, and so will we
            control.send(
                sock,
                {"run": task["run"], "fetched_ns": fetched_ns, "end_ns": due_ns + late_ns,
                 "late_ns": late_ns},
            )  # fmt: skip


def work(folder: Path, place: Place, counters: mmap.mmap, lifeline: int) -> None:
    """Until the master or the parent, at the other end of the pipe ``lifeline``, has gone."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        sock = control.connected(folder, _PATIENCE_S)
    except OSError:
        return
    control.send(
        sock,
        {"worker": place.worker, "address": place.address, "slots": place.slots,
         "pid": os.getpid()},
    )  # fmt: skip
    queues: list[queue.SimpleQueue[dict[str, Any]]] = []
    for slot in range(place.slots):
        tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        queues.append(tasks)
        arguments = (sock, tasks, _Inputs(place, counters, slot))
        threading.Thread(target=_run, args=arguments, daemon=True).start()
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    poller.register(lifeline, 0)  # its end is told unasked
    while True:
        ready = {fd for fd, _ in poller.poll()}
        message = control.receive(sock) if sock.fileno() in ready else None
        if message is None:
            return
        queues[int(message["slot"])].put(message)
