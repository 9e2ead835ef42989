"""The two halves of a frame's history, sender's and receiver's, joined into
frames-<flow>.parquet.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq


def merge_frames(log_dir: Path, flow: int) -> None:
    """Join by frame number; frames that did not arrive have null completed_ns and displayed_ns."""
    sender = log_dir / f"frames-sender-{flow}.parquet"
    receiver = log_dir / f"frames-receiver-{flow}.parquet"
    frames = pq.read_table(sender).join(pq.read_table(receiver), "frame", join_type="left outer")
    columns = ["flow", "frame", "keyframe", "captured_ns", "size_bytes", "target_bps"]
    columns += ["sent_ns", "completed_ns", "displayed_ns"]
    pq.write_table(frames.select(columns).sort_by("frame"), log_dir / f"frames-{flow}.parquet")
    sender.unlink()
    receiver.unlink()
