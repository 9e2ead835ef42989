"""A server's connections as one flow: TCP_INFO, and the bytes that the client acknowledged."""

from __future__ import annotations

import dataclasses
import socket
import threading
from contextlib import suppress

from testbed.traffic.base import FlowSpec
from testbed.traffic.records import RecordLog
from testbed.traffic.sockets import abort
from testbed.traffic.tcpinfo import TcpInfo, TcpInfoLog, read

_CUMULATIVE = (
    "bytes_sent",
    "bytes_retrans",
    "bytes_acked",
    "segs_out",
    "total_retrans",
    "delivered",
    "lost",
)


class Connections:
    """Counters are sums over all connections, past ones too; the rest is the newest one's."""

    def __init__(self, spec: FlowSpec) -> None:
        self._flow = spec.flow
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._past = dict.fromkeys(_CUMULATIVE, 0)
        self._info = TcpInfoLog(spec)
        self._goodput = RecordLog(
            spec.log_dir / f"goodput-{spec.flow}.parquet",
            {"flow": "i", "at_ns": "q", "received_bytes": "q"},
        )

    def __len__(self) -> int:
        return len(self._open)

    def add(self, sock: socket.socket) -> None:
        """A connection was accepted."""
        with self._lock:
            self._open.append(sock)

    def retire(self, sock: socket.socket) -> None:
        """A connection is about to be closed."""
        with self._lock:
            if sock not in self._open:
                return
            self._open.remove(sock)
            with suppress(OSError):
                info = read(sock)
                for name in _CUMULATIVE:
                    self._past[name] += getattr(info, name)

    def sample(self, now_ns: int) -> None:
        """Log the flow's state now."""
        with self._lock:
            infos: list[TcpInfo] = []
            for sock in self._open:
                with suppress(OSError):
                    infos.append(read(sock))
            totals = {
                name: self._past[name] + sum(getattr(info, name) for info in infos)
                for name in _CUMULATIVE
            }
        if infos:
            self._info.append(now_ns, dataclasses.replace(infos[-1], **totals))
        self._goodput.append(self._flow, now_ns, totals["bytes_acked"])

    def abort(self) -> None:
        """Reset what is still open: nothing outlives the measurement."""
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    abort(sock)
            self._open.clear()

    def write(self) -> None:
        """Write both logs."""
        self._info.write()
        self._goodput.write_parquet()
