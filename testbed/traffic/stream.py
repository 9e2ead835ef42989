"""The two ends of a greedy TCP stream: a sender that always has data while it is on, a receiver
that counts bytes.
"""

from __future__ import annotations

import ctypes
import math
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from testbed.traffic import receiver, tcpinfo
from testbed.traffic.base import FlowSpec
from testbed.traffic.process import Terminated, await_start
from testbed.traffic.sockets import TCP_NOTSENT_LOWAT, abort, bound_sender, connect
from testbed.units import NS_PER_MS, NS_PER_S

_CHUNK = bytes(256 * 1024)
_READ_PAUSE = struct.pack("ll", 0, NS_PER_MS)
"""Between reads, a struct timespec: a wake-up per packet would cost half a core at 200 Mbit/s."""
_MORE_READS = 3
"""Before the next look at the clock, which is a system call in virtual time."""
_MORE = socket.MSG_TRUNC | socket.MSG_DONTWAIT
# Unsent data in the socket: what the controller may send in this time, so that a sender that wakes
# late never leaves it without data.
_UNSENT_NS = 100 * NS_PER_MS
_MIN_UNSENT_BYTES = 256 * 1024
_MAX_UNSENT_BYTES = 32 * 1024 * 1024


def unsent_limit_bytes(info: tcpinfo.TcpInfo) -> int:
    """Unsent bytes that a greedy sender keeps in the socket: 100 ms of what its controller allows.

    A BBR that runs out of data takes its samples for application-limited and stays in STARTUP.
    """
    allowed_bps = 0.0
    if info.srtt_ns > 0:
        allowed_bps = info.cwnd_packets * info.mss_bytes * 8 * NS_PER_S / info.srtt_ns
    if not math.isnan(info.pacing_rate_bps):
        allowed_bps = max(allowed_bps, info.pacing_rate_bps)
    needed_bytes = allowed_bps / 8 * _UNSENT_NS / NS_PER_S
    return round(min(max(_MIN_UNSENT_BYTES, needed_bytes), _MAX_UNSENT_BYTES))


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
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, _MIN_UNSENT_BYTES)
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        next_sample_ns = interval.start_ns
        while not terminated and (now_ns := time.monotonic_ns()) < interval.stop_ns:
            if now_ns >= next_sample_ns:
                info = log.sample(sock, now_ns)
                sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, unsent_limit_bytes(info))
                next_sample_ns = now_ns + tcpinfo.INTERVAL_NS
            wait_ms = max(0.0, (next_sample_ns - now_ns) / NS_PER_MS)
            if not is_on(now_ns - interval.start_ns):
                time.sleep(wait_ms / 1000)
            elif poller.poll(wait_ms):
                # Until the socket takes no more: the limit may be many chunks.
                with suppress(BlockingIOError):
                    while sock.send(_CHUNK) == len(_CHUNK) and not terminated:
                        pass
        log.sample(sock, time.monotonic_ns())
    except (ConnectionResetError, BrokenPipeError):
        pass  # the receiver ended first; what was measured stands
    finally:
        abort(sock)
        log.write()


def receive(spec: FlowSpec) -> None:
    """Count what arrives into goodput-<flow>.parquet. Raises OSError."""
    buffer = bytearray(1 << 20)
    # time.sleep reads the clock as well, a system call of its own in a guest in virtual time.
    nanosleep = ctypes.CDLL(None).nanosleep

    def discard(sock: socket.socket) -> int:
        # MSG_TRUNC on TCP discards instead of copying (tcp(7)).
        received = total_bytes = sock.recv_into(buffer, len(buffer), socket.MSG_TRUNC)
        with suppress(BlockingIOError, ConnectionResetError):  # the next read that waits tells
            for _ in range(_MORE_READS * (received > 0)):
                nanosleep(_READ_PAUSE, None)
                received = sock.recv_into(buffer, len(buffer), _MORE)
                total_bytes += received
        if received:
            nanosleep(_READ_PAUSE, None)
        return total_bytes

    receiver.receive(spec, discard)
