"""What both pages saw, as Parquet: frames and getStats of each end, then the frames joined."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from testbed.traffic.call.desk import Report

STATS = pa.schema(
    [
        pa.field("flow", pa.int16(), nullable=False),
        pa.field("end", pa.string(), nullable=False),
        pa.field("at_ns", pa.int64(), nullable=False),
        *(pa.field(name, pa.float64()) for name in (
            "target_bps", "available_bps", "sent_bytes", "resent_bytes", "rtt_s", "sent_frames",
            "width", "height", "encode_s", "received_bytes", "lost_packets", "decoded_frames",
            "dropped_frames", "freezes", "freeze_s", "buffer_s", "buffer_frames", "nacks", "plis",
        )),
        pa.field("limited_by", pa.string()),
    ]
)  # fmt: skip
_NAMES = {
    "target_bps": "targetBitrate",
    "available_bps": "availableOutgoingBitrate",
    "sent_bytes": "bytesSent",
    "resent_bytes": "retransmittedBytesSent",
    "rtt_s": "currentRoundTripTime",
    "sent_frames": "framesSent",
    "width": "frameWidth",
    "height": "frameHeight",
    "encode_s": "totalEncodeTime",
    "received_bytes": "bytesReceived",
    "lost_packets": "packetsLost",
    "decoded_frames": "framesDecoded",
    "dropped_frames": "framesDropped",
    "freezes": "freezeCount",
    "freeze_s": "totalFreezesDuration",
    "buffer_s": "jitterBufferDelay",
    "buffer_frames": "jitterBufferEmittedCount",
    "nacks": "nackCount",
    "plis": "pliCount",
    "limited_by": "qualityLimitationReason",
}
"""Column -> its name in W3C webrtc-stats."""
FRAMES = pa.schema(
    [
        pa.field("flow", pa.int16(), nullable=False),
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("keyframe", pa.bool_(), nullable=False),
        pa.field("captured_ns", pa.int64(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("target_bps", pa.float64(), nullable=False),
        pa.field("sent_ns", pa.int64()),
        pa.field("completed_ns", pa.int64()),
        pa.field("displayed_ns", pa.int64()),
        pa.field("capture_late_ns", pa.int64(), nullable=False),
    ]
)


class Log:
    """Takes the reports of one end's page."""

    def __init__(self, flow: int, end: str) -> None:
        self._flow, self._end = flow, end
        # Of Unix time over CLOCK_MONOTONIC: pages know the one, everything else here the other.
        self._ahead_ns = time.time_ns() - time.monotonic_ns()
        self._encoded: list[tuple[int, int, int, bool]] = []
        self._shown: list[tuple[int, int]] = []
        self._stats: list[dict[str, Any]] = []

    def hear(self, report: Report) -> None:
        """The next report."""
        for rtp, at_ms, size_bytes, key in report.encoded:
            self._encoded.append((rtp, self._ns(at_ms), size_bytes, bool(key)))
        for shown, at_ms in report.shown:
            self._shown.append((-1 if shown is None else shown, self._ns(at_ms)))
        for row in report.stats:
            said_ms = row.get("at")
            if isinstance(said_ms, float | int):
                self._stats.append(self._row(row, self._ns(said_ms)))

    def _ns(self, unix_ms: float) -> int:
        return round(unix_ms * 1e6) - self._ahead_ns

    def _row(self, said: dict[str, Any], at_ns: int) -> dict[str, Any]:
        row: dict[str, Any] = {"flow": self._flow, "end": self._end, "at_ns": at_ns}
        for column, name in _NAMES.items():
            value = said.get(name)
            text = column == "limited_by"
            row[column] = value if isinstance(value, str if text else float | int) else None
        return row

    def write(self, folder: Path, until_ns: int) -> None:
        """The end's part of the files that ``merge`` makes, up to a time. Raises OSError."""
        stem = f"{self._end}-{self._flow}.parquet"
        encoded = [row for row in self._encoded if row[1] <= until_ns]
        columns = {
            name: [row[index] for row in encoded]
            for index, name in enumerate(("rtp", "at_ns", "size_bytes", "keyframe"))
        }
        pq.write_table(pa.table(columns), folder / f"encoded-{stem}")
        shown = [row for row in self._shown if row[1] <= until_ns]
        columns = {"rtp": [row[0] for row in shown], "at_ns": [row[1] for row in shown]}
        pq.write_table(pa.table(columns), folder / f"shown-{stem}")
        stats = [row for row in self._stats if row["at_ns"] <= until_ns]
        pq.write_table(pa.Table.from_pylist(stats, STATS), folder / f"stats-{stem}")


def merge(folder: Path, flow: int) -> int:
    """Make frames-<flow>.parquet and call-<flow>.parquet of both ends' parts; returns how many
    frames were sent. Raises OSError.
    """
    parts = {
        (what, end): folder / f"{what}-{end}-{flow}.parquet"
        for what in ("encoded", "shown", "stats")
        for end in ("sender", "receiver")
    }
    rows = {key: pq.read_table(path).to_pylist() for key, path in parts.items()}
    stats = sorted(
        rows["stats", "sender"] + rows["stats", "receiver"], key=lambda row: row["at_ns"]
    )
    call = folder / f"call-{flow}.parquet"
    pq.write_table(pa.Table.from_pylist(stats, STATS), call, compression="zstd")
    complete_ns = {row["rtp"]: row["at_ns"] for row in rows["encoded", "receiver"]}
    shown_ns = {row["rtp"]: row["at_ns"] for row in rows["shown", "receiver"]}
    targets = [(row["at_ns"], row["target_bps"]) for row in stats if row["target_bps"] is not None]
    frames: list[dict[str, Any]] = []
    target_bps, place = 0.0, 0
    for row in sorted(rows["encoded", "sender"], key=lambda row: row["at_ns"]):
        while place < len(targets) and targets[place][0] <= row["at_ns"]:
            target_bps, place = targets[place][1], place + 1
        frames.append(
            {
                "flow": flow,
                "frame": len(frames),
                "keyframe": row["keyframe"],
                "captured_ns": row["at_ns"],
                "size_bytes": row["size_bytes"],
                "target_bps": target_bps,
                "sent_ns": row["at_ns"],
                "completed_ns": complete_ns.get(row["rtp"]),
                "displayed_ns": shown_ns.get(row["rtp"]),
                "capture_late_ns": 0,
            }
        )
    table = pa.Table.from_pylist(frames, FRAMES)
    pq.write_table(table, folder / f"frames-{flow}.parquet", compression="zstd")
    for path in parts.values():
        path.unlink()
    return len(frames)
