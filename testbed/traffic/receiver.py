"""The receiving end of every kind of traffic: accept one connection, read it to its end, log
goodput every 10 ms.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from testbed.traffic.base import FlowSpec
from testbed.traffic.process import Interval, Terminated, await_start
from testbed.traffic.records import RecordLog
from testbed.traffic.sockets import accept, listener
from testbed.units import NS_PER_MS

_INTERVAL_NS = 10 * NS_PER_MS
_LONGEST_READ = struct.pack("ll", 0, _INTERVAL_NS // 1000)  # struct timeval


def receive(
    spec: FlowSpec,
    read: Callable[[socket.socket], int],
    came: Callable[[int, int], None] | None = None,
) -> None:
    """Receive into goodput-<flow>.parquet until the stop time, SIGTERM or the sender's end.

    ``read`` waits for data for as long as the socket does, takes it and returns the number of
    bytes; 0 is the stream's end. ``came`` is told how many came, and when (ns). Raises OSError, and
    what the two raise.
    """
    terminated = Terminated()
    waiting = listener(spec)
    log = RecordLog(
        spec.log_dir / f"goodput-{spec.flow}.parquet",
        {"flow": "i", "at_ns": "q", "received_bytes": "q"},
    )
    try:
        interval = await_start(terminated)
        sock = accept(waiting, interval, terminated) if interval is not None else None
        if interval is not None and sock is not None:
            with sock:
                _read_all(spec, sock, interval, terminated, log, read, came)
    finally:
        waiting.close()
        log.write_parquet()


def _read_all(
    spec: FlowSpec,
    sock: socket.socket,
    interval: Interval,
    terminated: Terminated,
    log: RecordLog,
    read: Callable[[socket.socket], int],
    came: Callable[[int, int], None] | None,
) -> None:
    # The kernel ends a read when a record is due at the latest: one system call instead of two.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _LONGEST_READ)
    total_bytes = 0
    now_ns = next_record_ns = time.monotonic_ns()
    while not terminated and now_ns < interval.stop_ns:
        try:
            received = read(sock)
        except BlockingIOError:
            received = None
        except ConnectionResetError:
            break
        if received == 0:
            break
        total_bytes += received or 0
        # Once for each read: in virtual time it is a system call.
        now_ns = time.monotonic_ns()
        if came is not None and received:
            came(received, now_ns)
        if now_ns >= next_record_ns:
            log.append(spec.flow, now_ns, total_bytes)
            next_record_ns += _INTERVAL_NS * (1 + (now_ns - next_record_ns) // _INTERVAL_NS)
    log.append(spec.flow, now_ns, total_bytes)
