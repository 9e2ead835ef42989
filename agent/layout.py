"""The structures shared with the datapath (datapath/shared.h), as NumPy types. The portable tier
fills them, too.
"""

from collections.abc import Sequence
from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

HEADER_BYTES = 8  # the ring buffer's own, before each record
RECORD_BYTES = 120


class Kind(IntEnum):
    """What a record tells."""

    OPEN = 1
    ACK = 2
    STATE = 3  # congestion state or the controller in force changed
    CLOSE = 4


class Flag(IntFlag):
    """Bits of a record's `flags`."""

    APP_LIMITED = 1
    COMMANDED = 2  # the agent's command is in force, not the kernel's own algorithm
    CLOSES_WINDOW = 4


class Mode(IntEnum):
    """Who controls the flows."""

    COMMANDED = 0
    OBSERVE = 1


class Wake(IntEnum):
    """When the datapath wakes the agent."""

    WINDOW = 0
    ACK = 1


_HEAD = [
    ("length", "<u4"),  # the ring buffer's header: length and the busy and discard bits
    ("page_offset", "<u4"),
    ("at_ns", "<u8"),
    ("slot", "<u4"),
    ("generation", "<u4"),
    ("kind", "u1"),
    ("flags", "u1"),
    ("ca_state", "u1"),
    ("reserved", "u1", (5,)),
]
_IDENTITY = [
    ("netns_cookie", "<u8"),
    ("family", "<u2"),
    ("local_port", "<u2"),
    ("remote_port", "<u2"),
    ("reserved_port", "<u2"),
    ("local_address", "u1", (16,)),
    ("remote_address", "u1", (16,)),
]

# : ACK, STATE and CLOSE records with their ring header (128 bytes). Counters are cumulative over
# the flow's life.
RECORD = np.dtype(
    [
        *_HEAD,
        ("rtt_us", "<i4"),  # of this ACK; negative: no sample
        ("srtt_us", "<u4"),
        ("min_rtt_us", "<u4"),
        ("mss_bytes", "<u4"),
        ("cwnd_packets", "<u4"),
        ("inflight_packets", "<u4"),
        ("pacing_rate_Bps", "<u8"),
        ("sample_delivered_packets", "<u4"),  # the kernel's delivery rate sample: packets over
        ("sample_interval_us", "<u4"),  # this interval; zero: no sample
        ("acked_bytes", "<u8"),
        ("delivered_bytes", "<u8"),
        ("lost_bytes", "<u8"),
        ("sent_bytes", "<u8"),  # retransmissions included
        ("retransmitted_bytes", "<u8"),
        ("delivered_packets", "<u4"),
        ("delivered_ce_packets", "<u4"),
        ("dropped_records", "<u4"),
        ("ssthresh_packets", "<u4"),
    ]
)
#: OPEN records, same size.
OPEN_RECORD = np.dtype([*_HEAD, *_IDENTITY, ("padding", "u1", (48,))])
FLOW = np.dtype([("generation", "<u4"), ("live", "<u4"), ("open_ns", "<u8"), *_IDENTITY])
COMMAND = np.dtype(
    [
        ("pacing_rate_Bps", "<u8"),
        ("cwnd_packets", "<u4"),
        ("generation", "<u4"),
        ("sequence", "<u4"),
        ("reserved", "<u4"),
    ]
)
CONTROL = np.dtype(
    [
        ("heartbeat_ns", "<u8"),
        ("stale_ns", "<u8"),
        ("window_ns", "<u8"),
        ("min_pacing_rate_Bps", "<u8"),
        ("max_pacing_rate_Bps", "<u8"),
        ("min_cwnd_packets", "<u4"),
        ("max_cwnd_packets", "<u4"),
        ("mode", "<u4"),
        ("wake", "<u4"),
        ("cc_name", "S16"),
    ]
)
COUNTERS = np.dtype(
    [("records", "<u8"), ("dropped", "<u8"), ("windows_closed", "<u8"), ("refused_flows", "<u8")]
)

assert RECORD.itemsize == OPEN_RECORD.itemsize == HEADER_BYTES + RECORD_BYTES

Records = npt.NDArray[np.void]  # of RECORD or, viewed, OPEN_RECORD


def join(parts: Sequence[Records]) -> Records:
    """One array of RECORD from several; as bytes, because NumPy compares structured types field by
    field each time.
    """
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return np.empty(0, RECORD)
    return np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in parts]).view(
        RECORD
    )


def delivery_rate_bps(records: Records) -> npt.NDArray[np.float64]:
    """The kernel's delivery rate sample of each record, bits per second; NaN where the ACK gave
    none.

    Source: tcp_rate_gen() in net/ipv4/tcp_rate.c; draft-cheng-iccrg-delivery-rate-estimation.
    """
    interval_us = records["sample_interval_us"].astype(np.float64)
    bits = records["sample_delivered_packets"] * records["mss_bytes"].astype(np.float64) * 8
    rate: npt.NDArray[np.float64] = np.full(len(records), np.nan)
    return np.divide(bits * 1e6, interval_us, out=rate, where=interval_us > 0)
