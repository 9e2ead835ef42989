"""The sender's end: answers each connection with as many bytes as it asks for, then closes it."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress

from testbed.errors import UserError
from testbed.traffic.base import FlowSpec
from testbed.traffic.connections import Connections
from testbed.traffic.process import Terminated, await_start
from testbed.traffic.sockets import read_congestion, serving
from testbed.traffic.tcpinfo import INTERVAL_NS
from testbed.traffic.web.options import WebOptions
from testbed.traffic.web.wire import BACKLOG, REQUEST, receive_exactly
from testbed.units import NS_PER_S

_SLICE = bytes(256 * 1024)


async def _answer(sock: socket.socket, connections: Connections, max_bytes: int) -> None:
    """One connection. The server closes its side first, so that the client keeps no port in
    TIME_WAIT, and waits for the client's close: all bytes are acknowledged then.
    """
    loop = asyncio.get_running_loop()
    try:
        with suppress(OSError, asyncio.IncompleteReadError):
            request = await receive_exactly(sock, REQUEST.size)
            left = min(int(REQUEST.unpack(request)[0]), max_bytes)
            while left > 0:
                part = memoryview(_SLICE)[: min(left, len(_SLICE))]
                await loop.sock_sendall(sock, part)
                left -= len(part)
            sock.shutdown(socket.SHUT_WR)
            await loop.sock_recv(sock, 1)
    finally:
        connections.retire(sock)
        sock.close()


async def _accept_all(
    listening: socket.socket, spec: FlowSpec, connections: Connections, max_bytes: int
) -> None:
    """Accept until cancelled. Raises UserError if a connection has another controller."""
    loop = asyncio.get_running_loop()
    listening.setblocking(False)
    async with asyncio.TaskGroup() as group:
        while True:
            sock, _ = await loop.sock_accept(listening)
            found = read_congestion(sock)
            if found != spec.tcp_congestion:
                sock.close()
                raise UserError(
                    f"congestion controller {spec.tcp_congestion!r} was asked for, but a "
                    f"connection of the server has {found!r}"
                )
            connections.add(sock)
            group.create_task(_answer(sock, connections, max_bytes))


async def _serve(
    spec: FlowSpec,
    listening: socket.socket,
    connections: Connections,
    stop_ns: int,
    terminated: Terminated,
) -> None:
    options = WebOptions.model_validate(spec.options)
    serving_task = asyncio.create_task(_accept_all(listening, spec, connections, options.max_bytes))
    try:
        while not terminated and not serving_task.done() and time.monotonic_ns() < stop_ns:
            connections.sample(time.monotonic_ns())
            await asyncio.sleep(INTERVAL_NS / NS_PER_S)
        connections.sample(time.monotonic_ns())
    finally:
        if not serving_task.done():
            connections.abort()
            serving_task.cancel()
        with suppress(asyncio.CancelledError):
            await serving_task


def serve(spec: FlowSpec) -> None:
    """Serve until the stop time or SIGTERM, logging TCP_INFO and goodput.

    Raises UserError, OSError.
    """
    terminated = Terminated()
    connections = Connections(spec)
    listening = serving(spec, backlog=BACKLOG)
    try:
        interval = await_start(terminated)
        if interval is not None:
            asyncio.run(_serve(spec, listening, connections, interval.stop_ns, terminated))
    except* UserError as errors:
        raise UserError(str(errors.exceptions[0])) from errors
    finally:
        listening.close()
        connections.abort()
        connections.write()
