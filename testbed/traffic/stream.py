"""The two ends of a greedy TCP stream: a sender that always has data while it is on, a receiver
that counts bytes.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from testbed.traffic import receiver, tcpinfo
from testbed.traffic.base import FlowSpec
from testbed.traffic.process import Terminated, await_start
from testbed.traffic.sockets import TCP_NOTSENT_LOWAT, abort, bound_sender, connect
from testbed.units import NS_PER_MS

_CHUNK = bytes(256 * 1024)
_NOTSENT_BYTES = 256 * 1024  # wake up when less than this is unsent: enough for 20 ms at 100 Mbit/s
_READ_PAUSE_S = 0.001  # between reads: a wake-up per packet would cost half a core at 200 Mbit/s


def send(spec: FlowSpec, is_on: Callable[[int], bool]) -> None:
    """Send as fast as TCP takes it while ``is_on(ns since start)``; returns at the stop time, on
    SIGTERM or when the receiver has gone. Raises UserError, OSError."""
    terminated = Terminated()
    sock = bound_sender(spec)
    log = tcpinfo.TcpInfoLog(spec)
    try:
        interval = await_start(terminated)
        if interval is None or not connect(sock, spec, interval, terminated):
            return
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, _NOTSENT_BYTES)
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        next_sample_ns = interval.start_ns
        while not terminated and (now_ns := time.monotonic_ns()) < interval.stop_ns:
            if now_ns >= next_sample_ns:
                log.sample(sock, now_ns)
                next_sample_ns = now_ns + tcpinfo.INTERVAL_NS
            wait_ms = max(0.0, (next_sample_ns - now_ns) / NS_PER_MS)
            if not is_on(now_ns - interval.start_ns):
                time.sleep(wait_ms / 1000)
            elif poller.poll(wait_ms):
                with suppress(BlockingIOError):
                    sock.send(_CHUNK)
        log.sample(sock, time.monotonic_ns())
    except (ConnectionResetError, BrokenPipeError):
        pass  # the receiver ended first; what was measured stands
    finally:
        abort(sock)
        log.write()


def receive(spec: FlowSpec) -> None:
    """Count what arrives into goodput-<flow>.parquet. Raises OSError."""
    buffer = bytearray(1 << 20)

    def discard(sock: socket.socket) -> int:
        # MSG_TRUNC on TCP discards instead of copying (tcp(7)).
        received = sock.recv_into(buffer, len(buffer), socket.MSG_TRUNC)
        if received:
            time.sleep(_READ_PAUSE_S)
        return received

    receiver.receive(spec, discard)
