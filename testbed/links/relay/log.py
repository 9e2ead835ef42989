"""The relay's binary packet log as an Arrow table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from testbed.links.base import PACKET_SCHEMA
from testbed.ports import CLIENT_PORTS, MAX_FLOWS, RECEIVER_PORT, SENDER_PORT

_ECN_CODEPOINT, _ECN_MARKED = 3, 4  # relay/log.h

RECORD = np.dtype(  # struct record of relay/log.h
    [
        ("enqueue_ns", "i8"),
        ("dequeue_ns", "i8"),
        ("deliver_ns", "i8"),
        ("due_ns", "i8"),
        ("source", "u4"),
        ("destination", "u4"),
        ("queue_bytes", "u4"),
        ("size_bytes", "u2"),
        ("payload_bytes", "u2"),
        ("source_port", "u2"),
        ("destination_port", "u2"),
        ("direction", "u1"),
        ("verdict", "u1"),
        ("protocol", "u1"),
        ("ecn", "u1"),
    ]
)

_PLAIN = (
    "enqueue_ns",
    "size_bytes",
    "queue_bytes",
    "verdict",
    "protocol",
    "source",
    "destination",
    "source_port",
    "destination_port",
    "payload_bytes",
)


def read_log(path: Path) -> pa.Table:
    """The log as a table of PACKET_SCHEMA, sorted by enqueue_ns.

    A record that was cut off at the end of the file (a killed relay) is left out.
    """
    records = np.fromfile(path, RECORD, count=path.stat().st_size // RECORD.itemsize)
    records = records[np.argsort(records["enqueue_ns"], kind="stable")]
    flow, ack = flows_of(records["source_port"], records["destination_port"])
    columns = {
        "link": records["direction"],
        "flow": flow,
        "ack": ack,
        "ecn": records["ecn"] & _ECN_CODEPOINT,
        "marked": (records["ecn"] & _ECN_MARKED) != 0,
        **{name: records[name] for name in _PLAIN},
        **{name: _nullable(records[name]) for name in ("dequeue_ns", "deliver_ns", "due_ns")},
    }
    return pa.table(
        [pa.array(columns[field.name], field.type) for field in PACKET_SCHEMA], PACKET_SCHEMA
    )


def flows_of(
    source_port: npt.NDArray[np.uint16], destination_port: npt.NDArray[np.uint16]
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    """Flow number (-1: none) and whether the packet comes from the receiver, by the two ports, each
    [n].
    """
    source, destination = source_port.astype(np.int32), destination_port.astype(np.int32)
    forth, back = source - SENDER_PORT, destination - SENDER_PORT
    data = _receives(destination, forth) & (forth >= 0) & (forth < MAX_FLOWS)
    ack = _receives(source, back) & (back >= 0) & (back < MAX_FLOWS)
    flow = np.select([data, ack], [forth, back], default=-1)
    return flow.astype(np.int16), ack


def _receives(port: npt.NDArray[np.int32], flow: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    first, last = CLIENT_PORTS
    found: npt.NDArray[np.bool_] = (port - RECEIVER_PORT == flow) | (
        (port >= first) & (port <= last)
    )
    return found


def _nullable(times_ns: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(times_ns, pa.int64(), mask=times_ns < 0)
