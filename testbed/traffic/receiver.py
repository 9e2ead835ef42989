"""The receiving end of every kind of traffic: accept one connection, read it to its end, log
goodput every 10 ms.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from testbed.traffic.base import FlowSpec
from testbed.traffic.process import Interval, Terminated, await_start
from testbed.traffic.records import RecordLog
from testbed.traffic.sockets import accept, listener
from testbed.units import NS_PER_MS

_INTERVAL_NS = 10 * NS_PER_MS


def receive(spec: FlowSpec, read: Callable[[socket.socket], int]) -> None:
    """Receive into goodput-<flow>.parquet until the stop time, SIGTERM or the sender's end.

    ``read`` takes what the socket holds, which is readable, and returns the number of bytes; 0 is
    the stream's end. Raises OSError, and what ``read`` raises.
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
                _read_all(spec, sock, interval, terminated, log, read)
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
) -> None:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    total_bytes = 0
    now_ns = next_record_ns = time.monotonic_ns()
    while not terminated and now_ns < interval.stop_ns:
        if poller.poll(max(0.0, (next_record_ns - now_ns) / NS_PER_MS)):
            try:
                received = read(sock)
            except ConnectionResetError:
                break
            if received == 0:
                break
            total_bytes += received
        now_ns = time.monotonic_ns()
        if now_ns >= next_record_ns:
            log.append(spec.flow, now_ns, total_bytes)
            next_record_ns += _INTERVAL_NS * (1 + (now_ns - next_record_ns) // _INTERVAL_NS)
    log.append(spec.flow, now_ns, total_bytes)
