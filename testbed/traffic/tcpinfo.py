"""TCP_INFO of a sender's socket: struct tcp_info of linux/tcp.h, sampled every 20 ms into
tcpinfo-<flow>.parquet.
"""

from __future__ import annotations

import math
import socket
import struct
from dataclasses import dataclass

from testbed.traffic.base import FlowSpec
from testbed.traffic.records import RecordLog
from testbed.units import NS_PER_MS

INTERVAL_NS = 20 * NS_PER_MS

# linux/tcp.h, struct tcp_info up to tcpi_bytes_retrans (Linux 4.19 and later): eight byte-sized
# fields, 24 u32, then pacing_rate, max_pacing_rate, bytes_acked, bytes_received, six u32,
# delivery_rate, three times, two u32, two u64.
_LAYOUT = struct.Struct("=8B24I4Q6I4Q2I2Q")
_UNLIMITED = 2**64 - 1


@dataclass(frozen=True)
class TcpInfo:
    """The members that the testbed uses, in its units. Rates count payload bytes; NaN: none yet, or
    unlimited.
    """

    srtt_ns: int
    min_rtt_ns: int
    cwnd_packets: int
    pacing_rate_bps: float
    delivery_rate_bps: float
    app_limited: bool
    bytes_sent: int
    bytes_retrans: int
    bytes_acked: int
    notsent_bytes: int
    segs_out: int
    total_retrans: int
    lost: int
    delivered: int
    mss_bytes: int
    rto_ns: int


def parse(raw: bytes) -> TcpInfo:
    """``raw`` as getsockopt(TCP_INFO) returned it. Raises ValueError if the kernel's struct is
    older than 4.19.
    """
    if len(raw) < _LAYOUT.size:
        raise ValueError(
            f"TCP_INFO has {len(raw)} bytes, {_LAYOUT.size} are needed: Linux 4.19 or later"
        )
    fields = _LAYOUT.unpack_from(raw)
    u8, u32, rest = fields[:8], fields[8:32], fields[32:]
    pacing, _, bytes_acked, _, segs_out, _, notsent, min_rtt_us, _, _, delivery, *_ = rest
    delivered, _, bytes_sent, bytes_retrans = rest[-4:]
    return TcpInfo(
        srtt_ns=u32[15] * 1000,
        min_rtt_ns=min_rtt_us * 1000 if min_rtt_us != 2**32 - 1 else 0,
        cwnd_packets=u32[18],
        pacing_rate_bps=math.nan if pacing == _UNLIMITED else pacing * 8.0,
        delivery_rate_bps=delivery * 8.0 if delivery else math.nan,
        app_limited=bool(u8[7] & 1),
        bytes_sent=bytes_sent,
        bytes_retrans=bytes_retrans,
        bytes_acked=bytes_acked,
        notsent_bytes=notsent,
        segs_out=segs_out,
        total_retrans=u32[23],
        lost=u32[6],
        delivered=delivered,
        mss_bytes=u32[2],
        rto_ns=u32[0] * 1000,
    )


def read(sock: socket.socket) -> TcpInfo:
    """The state of ``sock`` now. Raises OSError, ValueError."""
    return parse(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256))


class TcpInfoLog:
    """tcpinfo-<flow>.parquet: one row per call of ``sample``."""

    def __init__(self, spec: FlowSpec) -> None:
        self._flow = spec.flow
        columns = {
            "flow": "i",
            "at_ns": "q",
            "srtt_ns": "q",
            "min_rtt_ns": "q",
            "cwnd_packets": "q",
        }
        columns |= {"pacing_rate_bps": "d", "delivery_rate_bps": "d", "app_limited": "?"}
        columns |= dict.fromkeys(
            (
                "bytes_sent",
                "bytes_retrans",
                "bytes_acked",
                "notsent_bytes",
                "segs_out",
                "total_retrans",
            ),
            "q",
        )
        columns |= dict.fromkeys(("lost", "delivered", "mss_bytes", "rto_ns"), "q")
        self._log = RecordLog(
            spec.log_dir / f"tcpinfo-{spec.flow}.parquet",
            columns,
            ("pacing_rate_bps", "delivery_rate_bps"),
        )

    def sample(self, sock: socket.socket, now_ns: int) -> TcpInfo:
        """Read, log and return."""
        info = read(sock)
        self.append(now_ns, info)
        return info

    def append(self, now_ns: int, info: TcpInfo) -> None:
        """Log a state that was read."""
        self._log.append(self._flow, now_ns, *vars(info).values())

    def write(self) -> None:
        """Write the Parquet file."""
        self._log.write_parquet()
