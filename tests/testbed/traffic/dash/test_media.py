"""Chunks of exactly the manifest's sizes, made of boxes that add up."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.tasks.abr.video import Video
from testbed.traffic.dash import h264
from testbed.traffic.dash.media import FRAMES, Media
from testbed.traffic.dash.server import Files
from testbed.traffic.dash.video import default_video

VIDEO = default_video()


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        assert 8 <= size <= len(data)
        yield kind, data[8:size]
        data = data[size:]


def of_size(level: int, number: int, size: int) -> bytes:
    video = Video("v", 4000, np.array([1.0, 2.0]), np.full((9, 2), float(size)))
    chunk = Files(video).chunk(PurePosixPath(f"/chunk/{level}/{number}.m4s"))
    assert chunk is not None
    return b"".join(chunk.parts())


@given(st.integers(1, 300_000), st.integers(0, 8))
def test_a_chunk_has_exactly_its_size(size: int, number: int) -> None:
    data = of_size(1, number, size)
    assert len(data) == size
    if size >= Media(VIDEO).smallest_bytes:
        found = dict(boxes(data))
        assert list(found) == [b"free", b"moof", b"mdat"]
        traf = dict(boxes(dict(boxes(found[b"moof"]))[b"traf"]))
        assert struct.unpack(">IQ", traf[b"tfdt"]) == (1 << 24, number * 4_000_000)
        count, offset = struct.unpack(">Ii", traf[b"trun"][4:12])
        sizes = struct.unpack(f">{FRAMES}I", traf[b"trun"][16:])
        assert count == FRAMES
        assert sum(sizes) == len(found[b"mdat"])
        # The offset counts from the moof and points behind the header of the mdat.
        assert offset == 8 + len(found[b"moof"]) + 8


def test_larger_than_4_gib_has_a_long_header() -> None:
    head, tail = Media(VIDEO).around_padding(0, 0, 5 * 2**32)
    assert struct.unpack(">I4sQ", head) == (1, b"free", 5 * 2**32 - len(tail))


def test_bits_of_the_grey_picture_by_hand() -> None:
    # ue(0) ue(7) ue(0), 4 bits, ue(0), 2 bits, se(0); then 12 times ue(3) ue(0) se(0) 1; stop bit.
    bits = "10001000100001001" + "00100111" * 12 + "1"
    bits += "0" * (-len(bits) % 8)
    assert h264.grey_picture()[1:] == int(bits, 2).to_bytes(len(bits) // 8, "big")
    for number in range(1, FRAMES):
        assert b"\0\0\1" not in h264.repeated_picture(number)


def test_the_dash_manifest_lists_the_ladder() -> None:
    root = ElementTree.fromstring(Media(VIDEO).mpd())
    space = "{urn:mpeg:dash:schema:mpd:2011}"
    rates = [float(element.get("bandwidth", 0)) for element in root.iter(f"{space}Representation")]
    assert rates == pytest.approx(VIDEO.bitrates_kbps * 1000)
    assert root.get("mediaPresentationDuration") == "PT192.000000S"


@pytest.mark.parametrize(
    "path",
    ["/", "/chunk/0/48.m4s", "/chunk/6/0.m4s", "/chunk/-1/0.m4s", "/chunk/0/x.m4s", "/chunk/0/0",
     "/chunk/0/../0.m4s", "/chunk/٣/0.m4s", "/chunk/" + "9" * 5000 + "/0.m4s"],
)  # fmt: skip
def test_there_are_no_other_chunks(path: str) -> None:
    assert Files(VIDEO).chunk(PurePosixPath(path)) is None
