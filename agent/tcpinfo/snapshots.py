"""From TCP_INFO, the kernel's snapshot of a connection, to records like the eBPF datapath's."""

import numpy as np
import numpy.typing as npt

from agent.layout import RECORD, Flag, Kind, Records

#: struct tcp_info of <linux/tcp.h>: the members used here, up to Linux 4.19's.
TCP_INFO = np.dtype(
    {
        "names": [
            "state",
            "ca_state",
            "app_limited",
            "mss_bytes",
            "unacked",
            "sacked",
            "lost",
            "retrans",
            "srtt_us",
            "ssthresh_packets",
            "cwnd_packets",
            "pacing_rate_Bps",
            "acked_bytes",
            "min_rtt_us",
            "delivery_rate_Bps",
            "delivered_packets",
            "delivered_ce_packets",
            "sent_bytes",
            "retransmitted_bytes",
        ],
        "formats": [
            "u1",
            "u1",
            "u1",
            "<u4",
            "<u4",
            "<u4",
            "<u4",
            "<u4",
            "<u4",
            "<u4",
            "<u4",
            "<u8",
            "<u8",
            "<u4",
            "<u8",
            "<u4",
            "<u4",
            "<u8",
            "<u8",
        ],
        "offsets": [
            0,
            1,
            7,
            16,
            24,
            28,
            32,
            36,
            68,
            76,
            80,
            104,
            120,
            148,
            160,
            192,
            196,
            200,
            208,
        ],
        "itemsize": 216,
    }
)
_COPIED = (
    "ca_state",
    "srtt_us",
    "min_rtt_us",
    "mss_bytes",
    "cwnd_packets",
    "pacing_rate_Bps",
    "acked_bytes",
    "sent_bytes",
    "retransmitted_bytes",
    "delivered_packets",
    "delivered_ce_packets",
    "ssthresh_packets",
)


def snapshot_records(
    info: npt.NDArray[np.void],
    slots: npt.NDArray[np.int64],
    generations: npt.NDArray[np.int64],
    now_ns: int,
) -> Records:
    """Records of kind ACK from TCP_INFO snapshots. info: TCP_INFO[n]. Pure."""
    records = np.zeros(len(info), RECORD)
    records["at_ns"] = now_ns
    records["slot"], records["generation"], records["kind"] = slots, generations, Kind.ACK
    records["flags"] = np.where(info["app_limited"] & 1, Flag.APP_LIMITED, 0)
    for name in _COPIED:
        records[name] = info[name]
    records["rtt_us"] = np.where(info["srtt_us"] > 0, info["srtt_us"].astype(np.int32), -1)
    in_flight = info["unacked"].astype(np.int64) - info["sacked"] - info["lost"] + info["retrans"]
    records["inflight_packets"] = np.maximum(in_flight, 0)
    records["lost_bytes"] = info["retransmitted_bytes"]
    records["delivered_bytes"] = info["delivered_packets"].astype(np.uint64) * info["mss_bytes"]
    # The rate as packets over the time they take: a thousand of them, for precision.
    sampled = info["delivery_rate_Bps"] > 0
    interval_us = np.divide(
        1e9 * info["mss_bytes"], info["delivery_rate_Bps"], out=np.zeros(len(info)), where=sampled
    )
    records["sample_delivered_packets"] = np.where(sampled, 1000, 0)
    records["sample_interval_us"] = np.minimum(np.rint(interval_us), 2**32 - 1)
    return records
