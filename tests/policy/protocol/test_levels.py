"""A session survives the way through a request; malformed requests are refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.protocol import policy_pb2 as pb
from policy.protocol.levels import request_of, session_of
from policy.tasks.abr.measured import measured, record, set_buffer
from policy.tasks.abr.qoe import Kind, qoe_of
from policy.tasks.abr.session import Sessions
from policy.tasks.abr.video import Video


def session(chunks_seen: int, kind: Kind = "linear", buffer_ms: float = 8000.0) -> Sessions:
    rates = np.array([300.0, 900.0, 2700.0])
    quality = np.linspace(20, 90, 3 * 20).reshape(20, 3)
    video = Video("v", 4000, rates, np.outer(np.arange(20) + 30.0, rates * 10).round(), quality)
    live = measured(video, qoe_of(video, kind))
    for number in range(chunks_seen):
        record(live, number % 3, 1e5 + number, 900.0 + number, 40.0)
    set_buffer(live, buffer_ms)
    return live


@given(st.integers(1, 19), st.sampled_from(["linear", "log", "quality"]), st.floats(0, 60_000))
def test_a_session_survives_the_way_through_a_request(
    seen: int, kind: Kind, buffer_ms: float
) -> None:
    before = session(seen, kind, buffer_ms)
    request = pb.LevelRequest.FromString(request_of(before, "x").SerializeToString())
    after = session_of(request)
    assert (after.chunk, after.qoe.kind) == (before.chunk, kind)
    np.testing.assert_array_equal(after.video.sizes_bytes, before.video.sizes_bytes)
    np.testing.assert_array_equal(after.qoe.utility, before.qoe.utility)
    for name in ("buffer_ms", "level", "size_bits", "download_ms", "latency_ms"):
        np.testing.assert_array_equal(getattr(after.state, name), getattr(before.state, name))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bitrates_kbps": b"123"}, "bitrates_kbps: 3 bytes"),
        ({"bitrates_kbps": np.array([1.0]).tobytes()}, "1 levels"),
        ({"bitrates_kbps": np.array([1, np.nan, 3.0]).tobytes()}, "not a finite number"),
        ({"sizes_bytes": np.arange(7, dtype="<u4").tobytes()}, "no rows of 3 levels"),
        ({"sizes_bytes": np.zeros(60, "<u4").tobytes()}, "every size must lie above 0"),
        ({"chunk": 0}, "chunk: 0"),
        ({"chunk": 20}, "chunk: 20"),
        ({"level": 3}, "level 3"),
        ({"qoe": "best"}, "qoe: 'best'"),
        ({"buffer_ms": -1.0}, "buffer of -1 ms"),
        ({"buffer_cap_ms": 4000.0}, "two chunks"),
        ({"chunk_ms": 0.0}, "no video"),
        ({"size_bits": b""}, "values each"),
        ({"download_ms": np.zeros(5).tobytes()}, "must be positive"),
    ],
)
def test_malformed_requests_are_refused(change: dict[str, object], says: str) -> None:
    request = request_of(session(5), "x")
    for name, value in change.items():
        setattr(request, name, value)
    with pytest.raises(PolicyError, match=says):
        session_of(request)
