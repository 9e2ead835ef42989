"""Throughput, loss and one-way delay recomputed from captures at both ends of the bottleneck, with
scapy.

An independent witness against the link's own log: nothing here reads what the relay wrote.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scapy.error import Scapy_Exception
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapReader

from analysis.errors import AnalysisError
from analysis.metrics.percentiles import PercentilesMs, percentiles_ms

_RAW_IP = (12, 101, 228, 229)  # linktypes DLT_RAW, LINKTYPE_RAW, and of IPv4 or IPv6 alone
_ETHERNET = 1
_RECEIVER_PORT = 5_000
_FLOWS = 1_000

# What tells a packet from all others on both sides: ports, IP id, sequence number and length. A
# retransmission has the same sequence number and another id (IPv4).
_Key = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class PcapMetrics:
    """Of one flow's packets in the data direction."""

    throughput_mbps: float
    loss_rate: float
    owd_ms: PercentilesMs
    packets: int


def _packets(path: Path) -> Iterator[tuple[int, int, _Key, int]]:
    """Time (ns), flow, key and IP length of every packet to a receiver's port, handshake
    included.
    """
    try:
        reader = RawPcapReader(str(path))
    except (OSError, Scapy_Exception) as error:
        raise AnalysisError(f"{path}: not a readable capture: {error}") from error
    with reader:
        resolution = 1 if getattr(reader, "nano", False) else 1000
        for raw, meta in reader:
            try:
                layer = (
                    Ether(raw)
                    if reader.linktype == _ETHERNET
                    else _raw_ip(raw, reader.linktype, path)
                )
            except struct.error as error:
                raise AnalysisError(f"{path}: a packet is cut within its headers") from error
            ip = layer.getlayer(IP) or layer.getlayer(IPv6)
            tcp = layer.getlayer(TCP)
            if (
                ip is None
                or tcp is None
                or not _RECEIVER_PORT <= tcp.dport < _RECEIVER_PORT + _FLOWS
            ):
                continue
            is_v4 = isinstance(ip, IP)
            length = ip.len if is_v4 else ip.plen + 40
            identity = ip.id if is_v4 else 0
            at_ns = meta.sec * 1_000_000_000 + meta.usec * resolution
            yield (
                at_ns,
                tcp.dport - _RECEIVER_PORT,
                (tcp.sport, tcp.dport, identity, tcp.seq, length),
                length,
            )


def _raw_ip(raw: bytes, linktype: int, path: Path) -> IP | IPv6:
    if linktype not in _RAW_IP:
        raise AnalysisError(f"{path}: link type {linktype} is neither Ethernet nor raw IP")
    return IPv6(raw) if raw[:1] and raw[0] >> 4 == 6 else IP(raw)


def recompute(ingress: Path, egress: Path, duration_ns: int) -> dict[int, PcapMetrics]:
    """Metrics per flow from the captures before and behind the bottleneck; rates count IP bytes
    over the duration.

    Raises AnalysisError for files that are no captures of IP.
    """
    entered: dict[int, dict[_Key, int]] = {}
    for at_ns, flow, key, _ in _packets(ingress):
        entered.setdefault(flow, {}).setdefault(key, at_ns)
    delays: dict[int, list[int]] = {flow: [] for flow in entered}
    size_bytes = dict.fromkeys(entered, 0)
    for at_ns, flow, key, length in _packets(egress):
        came_ns = entered.get(flow, {}).get(key)
        if came_ns is not None:
            delays[flow].append(at_ns - came_ns)
            size_bytes[flow] += length
    return {
        flow: PcapMetrics(
            throughput_mbps=size_bytes[flow] * 8e3 / duration_ns,
            loss_rate=1 - len(delays[flow]) / len(keys),
            owd_ms=percentiles_ms(np.asarray(delays[flow], dtype=np.float64)),
            packets=len(keys),
        )
        for flow, keys in entered.items()
    }
