"""Frames survive the byte stream however it is cut; anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.video.encoder import Frame
from testbed.traffic.video.wire import HEADER_BYTES, Decoder, Received, encode

frames = st.builds(
    Frame,
    number=st.integers(0, 2**32 - 1),
    keyframe=st.booleans(),
    captured_ns=st.integers(0, 2**62),
    size_bytes=st.integers(64, 5000),
    target_bps=st.just(1e6),
)


@given(st.lists(frames, max_size=8), st.data())
def test_round_trip_in_any_pieces(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(encode(frame) for frame in sent)
    assert len(stream) == sum(frame.size_bytes for frame in sent)
    decoder, received, at = Decoder(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, max(1, len(stream) // 3)))
        received += decoder.feed(stream[at : at + size])
        at += size
    assert received == [Received(f.number, f.keyframe, f.captured_ns, f.size_bytes) for f in sent]


def test_a_frame_completes_with_its_last_byte() -> None:
    stream = encode(Frame(7, True, 1, 100, 1e6))
    decoder = Decoder()
    assert decoder.feed(stream[:99]) == []
    assert decoder.feed(b"") == []
    assert [frame.number for frame in decoder.feed(stream[99:])] == [7]


def test_a_frame_that_is_all_header() -> None:
    assert len(Decoder().feed(encode(Frame(0, True, 1, HEADER_BYTES, 1e6)))) == 1


@pytest.mark.parametrize("size", [0, HEADER_BYTES - 1, 2**32 - 1])
def test_impossible_sizes_are_refused(size: int) -> None:
    stream = bytearray(encode(Frame(0, True, 1, 64, 1e6)))
    stream[8:12] = size.to_bytes(4, "little")
    with pytest.raises(ValueError, match=f"not a video frame: .* size {size}"):
        Decoder().feed(bytes(stream))


def test_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not a video frame"):
        Decoder().feed(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
