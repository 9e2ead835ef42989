"""Packed columns of policy.proto: NumPy arrays to and from the `bytes` fields of a message.

pack(message.records, ACK_RECORDS, {"flow": slots, ...})
unpack(message.records, ACK_RECORDS)["flow"]

Where many messages come or go at once, `raw` checks each that came and `joined` makes arrays of all
of them; `cut` makes the columns of all that go. A step of NumPy costs about as much for one message
as for a hundred.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

Columns = dict[str, npt.NDArray[Any]]


class Layout(dict[str, np.dtype[Any]]):
    """Names and types of a message's columns, in the order of its fields."""

    def __init__(self, **types: str) -> None:
        super().__init__((name, np.dtype(kind)) for name, kind in types.items())
        self.place = {name: place for place, name in enumerate(self)}
        self.fetch = attrgetter(*self)


@dataclass(frozen=True)
class Raw:
    """The columns of one message as they came, checked to be `length` elements each."""

    length: int
    data: tuple[bytes, ...]


OPENS = Layout(flow="<u4", generation="<u4", open_ns="<i8")
OBJECTIVE = np.dtype("<f4")
"""Type of Opens.objective, a column that may be left out."""
CLOSES = Layout(flow="<u4", generation="<u4")
WINDOWS = Layout(flow="<u4", generation="<u4", window="<i8", end_ns="<i8")
ACK_RECORDS = Layout(
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
DECISIONS = Layout(
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
    """Set every column of `message`, converted to its type on the wire. Raises ColumnError if
    lengths differ.
    """
    length = None
    for name, kind in layout.items():
        values = np.ascontiguousarray(columns[name], kind)
        length = len(values) if length is None else length
        if len(values) != length:
            raise ColumnError(
                f"{_name(message)}.{name} has {len(values)} elements, others {length}"
            )
        setattr(message, name, values.tobytes())


def raw(message: Message, layout: Layout) -> Raw:
    """The columns of `message` as they are. Raises ColumnError if they are not whole elements, or
    differ in length.
    """
    data: tuple[bytes, ...] = layout.fetch(message)
    length = None
    for (name, kind), column in zip(layout.items(), data, strict=True):
        if length is None:
            length = len(column) // kind.itemsize
        if len(column) != length * kind.itemsize:
            raise ColumnError(
                f"{_name(message)}.{name}: {len(column)} bytes, expected {length} elements of "
                f"{kind.itemsize}"
            )
    return Raw(length or 0, data)


def joined(parts: Sequence[Raw], layout: Layout, *names: str) -> npt.NDArray[Any]:
    """These columns, all of one type, of all parts in order, as a read-only array of shape
    [len(names), n].
    """
    places = [layout.place[name] for name in names]
    data = b"".join([part.data[place] for place in places for part in parts])
    return np.frombuffer(data, layout[names[0]]).reshape(len(names), -1)


def cut(
    columns: Mapping[str, npt.ArrayLike], layout: Layout, starts: Sequence[int]
) -> Iterator[dict[str, bytes]]:
    """Columns of several messages, as arguments to make each of. starts: where each begins;
    columns: of one length.
    """
    data = [
        (name, kind.itemsize, np.ascontiguousarray(columns[name], kind).tobytes())
        for name, kind in layout.items()
    ]
    stops: list[int | None] = [*starts[1:], None]
    for start, stop in zip(starts, stops, strict=True):
        yield {
            name: each[start * size : None if stop is None else stop * size]
            for name, size, each in data
        }


def unpack(message: Message, layout: Layout) -> Columns:
    """All columns as read-only arrays. Raises ColumnError if they are not whole elements, or differ
    in length.
    """
    data = raw(message, layout).data
    return {
        name: np.frombuffer(each, kind)
        for each, (name, kind) in zip(data, layout.items(), strict=True)
    }


def _name(message: Message) -> str:
    return str(message.DESCRIPTOR.name)
