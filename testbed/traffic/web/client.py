"""The receiver's end: one connection per transfer, opened when the transfer arrives, whether or not
earlier ones are done.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress

from testbed.traffic.base import FlowSpec
from testbed.traffic.process import Interval, Terminated, await_start
from testbed.traffic.records import NULL, RecordLog
from testbed.traffic.sockets import family, use_client_ports
from testbed.traffic.web.options import WebOptions, transfers
from testbed.traffic.web.wire import MAX_OPEN, REQUEST
from testbed.units import NS_PER_S

_SLICE_S = 0.05  # longest wait without a look at Terminated
_READ_BYTES = 256 * 1024


class TransferLog:
    """transfers-<flow>.parquet: one row per transfer, in order of completion."""

    def __init__(self, spec: FlowSpec) -> None:
        self._flow = spec.flow
        self._log = RecordLog(
            spec.log_dir / f"transfers-{spec.flow}.parquet",
            {
                "flow": "i",
                "arrival_ns": "q",
                "size_bytes": "q",
                "port": "q",
                "connected_ns": "q",
                "completed_ns": "q",
            },
            ("port", "connected_ns", "completed_ns"),
        )

    def append(
        self,
        arrival_ns: int,
        size_bytes: int,
        port: int = NULL,
        connected_ns: int = NULL,
        completed_ns: int = NULL,
    ) -> None:
        """A transfer that was completed, or given up."""
        self._log.append(self._flow, arrival_ns, size_bytes, port, connected_ns, completed_ns)

    def write(self) -> None:
        """Write the file."""
        self._log.write_parquet()


async def _fetch(spec: FlowSpec, size_bytes: int, arrival_ns: int, log: TransferLog) -> None:
    """One transfer. It is complete with its last byte; a connection that breaks leaves it open."""
    loop = asyncio.get_running_loop()
    port = connected_ns = completed_ns = NULL
    sock = socket.socket(family(spec.sender_address), socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        with suppress(OSError):
            await loop.sock_connect(sock, (spec.sender_address, spec.sender_port))
            port, connected_ns = int(sock.getsockname()[1]), time.monotonic_ns()
            await loop.sock_sendall(sock, REQUEST.pack(size_bytes))
            buffer = bytearray(min(size_bytes, _READ_BYTES))
            left = size_bytes
            while left > 0:
                received = await loop.sock_recv_into(sock, buffer)
                if not received:
                    break
                left -= received
            else:
                completed_ns = time.monotonic_ns()
                await loop.sock_recv(sock, 1)
    finally:
        log.append(arrival_ns, size_bytes, port, connected_ns, completed_ns)
        sock.close()


async def _fetch_all(
    spec: FlowSpec, interval: Interval, terminated: Terminated, log: TransferLog
) -> None:
    """Open transfers as they arrive, until the stop time or SIGTERM."""
    options = WebOptions.model_validate(spec.options)
    open_: set[asyncio.Task[None]] = set()
    at_ns = interval.start_ns
    try:
        for transfer in transfers(options, spec.seed):
            at_ns += transfer.gap_ns
            while not terminated and (now_ns := time.monotonic_ns()) < min(at_ns, interval.stop_ns):
                left_s = (min(at_ns, interval.stop_ns) - now_ns) / NS_PER_S
                await asyncio.sleep(min(left_s, _SLICE_S))
            if terminated or at_ns >= interval.stop_ns:
                return
            if len(open_) >= MAX_OPEN:
                log.append(at_ns, transfer.size_bytes)
                continue
            task = asyncio.create_task(_fetch(spec, transfer.size_bytes, at_ns, log))
            open_.add(task)
            task.add_done_callback(open_.discard)
            while options.closed and open_:
                if terminated or time.monotonic_ns() >= interval.stop_ns:
                    return
                await asyncio.wait(open_, timeout=_SLICE_S)
                at_ns = time.monotonic_ns()
    finally:
        # Those that have never run would log nothing.
        await asyncio.sleep(0)
        for task in list(open_):
            task.cancel()
        await asyncio.gather(*open_, return_exceptions=True)


def fetch(spec: FlowSpec) -> None:
    """Fetch until the stop time or SIGTERM, logging transfers. Raises OSError."""
    terminated = Terminated()
    use_client_ports()
    log = TransferLog(spec)
    try:
        interval = await_start(terminated)
        if interval is not None:
            asyncio.run(_fetch_all(spec, interval, terminated, log))
    finally:
        log.write()
