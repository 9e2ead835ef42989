"""Packed columns of policy.proto: NumPy arrays to and from the `bytes` fields of a message.

pack(message.records, ACK_RECORDS, {"flow": slots, ...})
unpack(message.records, ACK_RECORDS)["flow"]
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

Layout = Mapping[str, np.dtype[Any]]
Columns = dict[str, npt.NDArray[Any]]


def _layout(**types: str) -> Layout:
    return {name: np.dtype(kind) for name, kind in types.items()}


OPENS = _layout(flow="<u4", generation="<u4", open_ns="<i8")
CLOSES = _layout(flow="<u4", generation="<u4")
WINDOWS = _layout(flow="<u4", generation="<u4", window="<i8", end_ns="<i8")
ACK_RECORDS = _layout(
    flow="<u4",
    generation="<u4",
    at_ns="<i8",
    rtt_us="<i4",
    srtt_us="<u4",
    min_rtt_us="<u4",
    mss_bytes="<u4",
    cwnd_packets="<u4",
    inflight_packets="<u4",
    pacing_rate_bps="<f8",
    sample_delivered_packets="<u4",
    sample_interval_us="<u4",
    acked_bytes="<i8",
    delivered_bytes="<i8",
    lost_bytes="<i8",
    sent_bytes="<i8",
    retransmitted_bytes="<i8",
    delivered_packets="<i8",
    delivered_ce_packets="<i8",
    ca_state="u1",
    flags="u1",
)
DECISIONS = _layout(
    flow="<u4",
    generation="<u4",
    window="<i8",
    pacing_rate_bps="<f8",
    cwnd_packets="<f8",
    queue_ns="<i8",
    reasons="u1",
)
FLAG_APP_LIMITED = 1  # of AckRecords.flags


class ColumnError(ValueError):
    """Columns that are not of one length; the message names the message and the column."""


def pack(message: Message, layout: Layout, columns: Mapping[str, npt.ArrayLike]) -> None:
    """Set every column of `message`, converted to its type on the wire. Raises ColumnError if lengths differ."""
    length = None
    for name, kind in layout.items():
        values = np.ascontiguousarray(columns[name], kind)
        length = len(values) if length is None else length
        if len(values) != length:
            raise ColumnError(f"{_name(message)}.{name} has {len(values)} elements, others {length}")
        setattr(message, name, values.tobytes())


def unpack(message: Message, layout: Layout) -> Columns:
    """All columns as read-only arrays. Raises ColumnError if they are not whole elements, or differ in length."""
    columns: Columns = {}
    length = None
    if not message.ByteSize():
        return {name: np.empty(0, kind) for name, kind in layout.items()}
    for name, kind in layout.items():
        data: bytes = getattr(message, name)
        count, rest = divmod(len(data), kind.itemsize)
        length = count if length is None else length
        if rest or count != length:
            raise ColumnError(
                f"{_name(message)}.{name}: {len(data)} bytes, expected {length} elements of {kind.itemsize}"
            )
        columns[name] = np.frombuffer(data, kind)
    return columns


def _name(message: Message) -> str:
    return str(message.DESCRIPTOR.name)
