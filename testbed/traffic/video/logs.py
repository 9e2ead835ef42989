"""The two halves of a frame's history, sender's and receiver's, joined into
frames-<flow>.parquet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from testbed.units import NS_PER_MS, NS_PER_S

_MAX_LATE_NS = 200 * NS_PER_MS


def merge_frames(log_dir: Path, flow: int) -> pa.Table:
    """Join by frame number; frames that did not arrive have null completed_ns and displayed_ns."""
    sender = log_dir / f"frames-sender-{flow}.parquet"
    receiver = log_dir / f"frames-receiver-{flow}.parquet"
    frames = pq.read_table(sender).join(pq.read_table(receiver), "frame", join_type="left outer")
    columns = ["flow", "frame", "keyframe", "captured_ns", "size_bytes", "target_bps"]
    columns += ["sent_ns", "completed_ns", "displayed_ns", "capture_late_ns"]
    frames = frames.select(columns).sort_by("frame")
    pq.write_table(frames, log_dir / f"frames-{flow}.parquet")
    sender.unlink()
    receiver.unlink()
    return frames


def late_captures(frames: pa.Table, fps: int) -> list[str]:
    """A warning if captures were late by more than a frame (99th percentile), or one by more than
    200 ms. ``frames`` is what ``merge_frames`` returns.
    """
    late_ns = frames["capture_late_ns"].to_numpy()
    if not len(late_ns):
        return []
    p99_ns, most_ns = np.percentile(late_ns, 99), late_ns.max()
    if p99_ns <= NS_PER_S / fps and most_ns <= _MAX_LATE_NS:
        return []
    return [
        f"frames were captured {p99_ns / NS_PER_MS:.0f} ms late (p99), {most_ns / NS_PER_MS:.0f} "
        "ms at most: the sender was starved or stopped, and stalls from that are not the network's"
    ]
