"""What two pages told becomes frames as of any video flow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from testbed.traffic.call.desk import Report
from testbed.traffic.call.logs import Log, merge

MS = 1_000_000


def report(**parts: Sequence[object]) -> Report:
    return Report.model_validate({"encoded": [], "shown": [], "stats": [], **parts})


def test_frames_of_both_ends_meet_by_their_rtp_timestamp(tmp_path: Path) -> None:
    zero_ms = time.time_ns() / 1e6
    zero_ns = time.monotonic_ns()
    sender, receiver = Log(0, "sender"), Log(0, "receiver")
    sent = [[rtp, zero_ms + at, 1000 + rtp, rtp == 90] for rtp, at in ((90, 0), (91, 33), (92, 66))]
    sender.hear(report(encoded=sent, stats=[{"at": zero_ms + 10, "targetBitrate": 3e5}]))
    # The second frame never comes; the third is complete and not shown before the end.
    whole = [[90, zero_ms + 20, 1090, 1], [92, zero_ms + 90, 1092, 0]]
    receiver.hear(report(encoded=whole, shown=[[90, zero_ms + 25], [92, zero_ms + 140]]))
    receiver.hear(report(stats=[{"at": zero_ms + 50, "freezeCount": 1, "kind": "video"}]))
    for log in (sender, receiver):
        log.write(tmp_path, zero_ns + 100 * MS)
    assert merge(tmp_path, 0) == 3
    frames = pq.read_table(tmp_path / "frames-0.parquet").to_pylist()
    assert [row["size_bytes"] for row in frames] == [1090, 1091, 1092]
    assert [row["keyframe"] for row in frames] == [True, False, False]
    assert [row["target_bps"] for row in frames] == [0.0, 3e5, 3e5]
    delays = [row["completed_ns"] and row["completed_ns"] - row["captured_ns"] for row in frames]
    assert delays == [pytest.approx(20 * MS, abs=1000), None, pytest.approx(24 * MS, abs=1000)]
    assert [row["displayed_ns"] is None for row in frames] == [False, True, True]
    assert abs(frames[0]["captured_ns"] - zero_ns) < 5 * MS
    stats = pq.read_table(tmp_path / "call-0.parquet").to_pylist()
    assert [(row["end"], row["freezes"]) for row in stats] == [("sender", None), ("receiver", 1.0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "call-0.parquet",
        "frames-0.parquet",
    ]


def test_a_call_that_never_began_has_no_frames(tmp_path: Path) -> None:
    for end in ("sender", "receiver"):
        Log(3, end).write(tmp_path, 0)
    assert merge(tmp_path, 3) == 0
    assert pq.read_table(tmp_path / "frames-3.parquet").num_rows == 0


def test_a_page_cannot_say_what_is_no_report() -> None:
    with pytest.raises(ValidationError):
        report(encoded=[[1, 2.0]])
    with pytest.raises(ValidationError):
        report(stats=[{"at": [1]}])
