"""The buffer's clock against the simulator's arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.dash.playback import Playback

CHUNK_NS, CAP_NS = 4_000_000_000, 12_000_000_000


def test_a_session_by_hand() -> None:
    playback = Playback(CHUNK_NS, CAP_NS)
    assert (playback.stalled_ns(5), playback.buffer_ns(5), playback.wait_ns(5)) == (0, 0, 0)
    assert playback.arrived(1_000) == 0  # start-up is no stall
    assert playback.started_ns == 1_000
    assert playback.buffer_ns(1_000) == CHUNK_NS
    # 6 s for the next: 2 s of stall, then 4 s are there.
    assert playback.stalled_ns(6_000_001_000) == 2_000_000_000
    assert playback.arrived(6_000_001_000) == 2_000_000_000
    assert playback.buffer_ns(6_000_001_000) == CHUNK_NS
    assert playback.arrived(6_000_001_000) == 0
    assert playback.arrived(6_000_001_000) == 0
    # 12 s are the cap: the next chunk must wait for its place.
    assert playback.wait_ns(6_000_001_000) == CHUNK_NS
    assert playback.wait_ns(10_000_001_000) == 0


@given(st.lists(st.integers(1, 30_000_000_000), min_size=1, max_size=60))
def test_it_is_the_simulators_buffer(downloads_ns: list[int]) -> None:
    playback, now_ns, buffer_ns = Playback(CHUNK_NS, CAP_NS), 0, 0
    for number, delay_ns in enumerate(downloads_ns):
        now_ns += delay_ns
        stall_ns = playback.arrived(now_ns)
        assert stall_ns == (max(delay_ns - buffer_ns, 0) if number else 0)
        buffer_ns = max(buffer_ns - delay_ns, 0) + CHUNK_NS
        wait_ns = max(buffer_ns + CHUNK_NS - CAP_NS, 0)
        assert playback.buffer_ns(now_ns) == buffer_ns
        assert playback.wait_ns(now_ns) == wait_ns
        now_ns += wait_ns
        buffer_ns -= wait_ns
        assert playback.wait_ns(now_ns) == 0 or buffer_ns < 0
    assert playback.buffer_ns(now_ns) == pytest.approx(buffer_ns)
