"""The sender's frame queue and the jitter buffer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.video import wire
from testbed.traffic.video.encoder import Frame
from testbed.traffic.video.jitterbuffer import JitterBuffer
from testbed.traffic.video.queue import FrameQueue

MAX_AGE_NS = 500


def frame(number: int, *, at_ns: int = 0, size: int = 100, gop: int = 5) -> Frame:
    return Frame(number, number % gop == 0, at_ns, size, 1e6)


def queue_of(*frames: Frame) -> FrameQueue:
    queue = FrameQueue(MAX_AGE_NS, wire.encode)
    for item in frames:
        assert queue.add(item)
    return queue


def test_partial_writes() -> None:
    queue = queue_of(frame(0), frame(1))
    assert queue.backlog_bytes == 200
    data, begun = queue.begin()
    assert begun is not None
    assert (begun.number, len(data)) == (0, 100)
    queue.written(data, 30)
    assert queue.backlog_bytes == 170
    assert [item.number for item in queue.waiting()] == [1]
    data, begun = queue.begin()
    assert (len(data), begun) == (70, None)
    queue.written(data, 70)
    data, begun = queue.begin()
    assert begun is not None
    assert begun.number == 1
    queue.written(data, 100)
    assert not queue
    assert queue.backlog_bytes == 0


def test_a_begun_frame_is_finished_however_old() -> None:
    queue = queue_of(frame(0))
    data, _ = queue.begin()
    queue.written(data, 1)
    assert queue.skip_stale(10 * MAX_AGE_NS) == []
    assert queue
    assert queue.backlog_bytes == 99


def test_stale_frames_go_up_to_the_next_keyframe() -> None:
    queue = queue_of(*(frame(number, at_ns=number) for number in range(3, 8)))
    assert queue.skip_stale(3 + MAX_AGE_NS) == []  # as old as is allowed
    assert [item.number for item in queue.skip_stale(4 + MAX_AGE_NS)] == [3, 4]
    assert [item.number for item in queue.waiting()] == [5, 6, 7]
    assert not queue.awaiting_keyframe
    assert queue.backlog_bytes == 300


def test_a_stale_keyframe_takes_its_whole_group_and_what_follows_it() -> None:
    queue = queue_of(*(frame(number) for number in range(3)))
    assert len(queue.skip_stale(MAX_AGE_NS + 1)) == 3
    assert queue.awaiting_keyframe
    assert not queue
    assert not queue.add(frame(3))
    assert not queue.add(frame(4))
    assert queue.backlog_bytes == 0
    assert queue.add(frame(5))
    assert queue.add(frame(6))


@given(st.data())
def test_what_arrives_is_decodable_and_every_frame_is_accounted_for(data: st.DataObject) -> None:
    """Random captures, writes and skips: no frame without its I-frame and its predecessors, none
    lost from view.
    """
    queue, decoder = FrameQueue(MAX_AGE_NS, wire.encode), wire.Decoder()
    captured, arrived, skipped = 0, [], []
    for step in range(data.draw(st.integers(1, 60))):
        now_ns = step * 60
        skipped += [item.number for item in queue.skip_stale(now_ns)]
        item = frame(captured, at_ns=now_ns, size=data.draw(st.integers(64, 400)))
        if not queue.add(item):
            skipped.append(captured)
        captured += 1
        for _ in range(data.draw(st.integers(0, 2))):
            if queue:
                chunk, _ = queue.begin()
                size = data.draw(st.integers(1, len(chunk)))
                arrived += [got.number for got in decoder.feed(chunk[:size])]
                queue.written(chunk, size)
        assert queue.backlog_bytes >= 0
    waiting = [item.number for item in queue.waiting()]
    underway = captured - len(arrived) - len(skipped) - len(waiting)
    assert underway in (0, 1)  # at most one frame is half sent
    assert len({*arrived, *skipped, *waiting}) == captured - underway
    assert arrived == sorted(arrived)
    for number in arrived:
        if number % 5:
            assert number - 1 in arrived  # what it refers to


def test_display_times_by_hand() -> None:
    playout = JitterBuffer(100)
    assert playout.display_ns(0, 20) == 100  # on time: at the deadline
    assert playout.display_ns(33, 150) == 150  # late: at once
    assert playout.display_ns(40, 60) == 150  # never before its predecessor
    assert playout.display_ns(66, 90) == 166


@given(
    st.integers(0, 10**9),
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=40),
)
def test_display_order_and_deadline(buffer_ns: int, frames: list[tuple[int, int]]) -> None:
    playout, captured_ns, completed_ns, last = JitterBuffer(buffer_ns), 0, 0, 0
    for gap_ns, delay_ns in frames:
        captured_ns += gap_ns
        completed_ns = max(completed_ns, captured_ns + delay_ns)
        shown_ns = playout.display_ns(captured_ns, completed_ns)
        assert shown_ns >= max(captured_ns + buffer_ns, completed_ns, last)
        assert shown_ns in (captured_ns + buffer_ns, completed_ns, last)
        last = shown_ns
