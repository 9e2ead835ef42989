"""A video that browsers play with chunks of exactly the manifest's sizes, and its DASH manifest.

A chunk is a `free` box, which players skip, and behind it a fragment of a few hundred bytes
(ISO/IEC 14496-12). The init segment is the same for all levels.
"""

from __future__ import annotations

import struct
from functools import cached_property

from policy.tasks.abr.video import Video
from testbed.traffic.dash import h264

FRAMES = 20
"""Pictures in a chunk, however long it is."""
_TIMESCALE = 1_000_000
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_FREE_HEADER, _LARGE_FREE_HEADER = 8, 16


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


class Media:
    """The bytes of a video's chunks."""

    def __init__(self, video: Video) -> None:
        self._video = video
        self._frame_duration = round(video.chunk_ms * 1000 / FRAMES)
        pictures = [h264.grey_picture(), *(h264.repeated_picture(n) for n in range(1, FRAMES))]
        self._samples = [struct.pack(">I", len(picture)) + picture for picture in pictures]

    @property
    def smallest_bytes(self) -> int:
        """A chunk that a browser can play has at least so many bytes."""
        return _FREE_HEADER + len(self._fragment(0))

    def around_padding(self, level: int, number: int, size_bytes: int) -> tuple[bytes, bytes]:
        """What stands before and after the padding of a chunk; nothing where it is too small to be
        played.
        """
        fragment = self._fragment(number)
        padded = size_bytes - len(fragment)
        if padded < _FREE_HEADER:
            return b"", b""
        if padded < 2**32:
            return struct.pack(">I4s", padded, b"free"), fragment
        return struct.pack(">I4sQ", 1, b"free", padded), fragment

    def mpd(self) -> str:
        """The DASH manifest (ISO/IEC 23009-1): one adaptation set, a representation a level."""
        video = self._video
        duration_s = video.chunks * video.chunk_ms / 1000
        representations = "".join(
            f'<Representation id="{level}" bandwidth="{round(rate * 1000)}" '
            f'codecs="{h264.CODEC}" width="{h264.WIDTH}" height="{h264.HEIGHT}"/>'
            for level, rate in enumerate(video.bitrates_kbps.tolist())
        )
        return (
            '<?xml version="1.0" encoding="utf-8"?>'
            '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'profiles="urn:mpeg:dash:profile:isoff-live:2011" '
            f'minBufferTime="PT{video.chunk_ms / 1000:g}S" '
            f'mediaPresentationDuration="PT{duration_s:.6f}S">'
            '<Period id="0" start="PT0S"><AdaptationSet mimeType="video/mp4" '
            'contentType="video" segmentAlignment="true" startWithSAP="1">'
            f'<SegmentTemplate timescale="{_TIMESCALE}" '
            f'duration="{self._frame_duration * FRAMES}" startNumber="0" '
            'initialization="init.mp4" media="chunk/$RepresentationID$/$Number$.m4s"/>'
            f"{representations}</AdaptationSet></Period></MPD>"
        )

    def _fragment(self, number: int) -> bytes:
        """``moof`` and ``mdat`` of a chunk."""
        sizes = b"".join(struct.pack(">I", len(sample)) for sample in self._samples)

        def moof(data_offset: int) -> bytes:
            # The base of offsets is the moof; by default samples depend on others.
            header = struct.pack(">III", 1, self._frame_duration, 0x01010000)
            start = struct.pack(">Q", number * FRAMES * self._frame_duration)
            run = struct.pack(">IiI", FRAMES, data_offset, 0x02000000) + sizes
            return _box(
                b"moof",
                _full(b"mfhd", 0, 0, struct.pack(">I", number + 1)),
                _box(
                    b"traf",
                    _full(b"tfhd", 0, 0x020028, header),
                    _full(b"tfdt", 1, 0, start),
                    _full(b"trun", 0, 0x000205, run),
                ),
            )

        return moof(len(moof(0)) + 8) + _box(b"mdat", *self._samples)

    @cached_property
    def init(self) -> bytes:
        """``ftyp`` and ``moov``: one track of the grey picture."""
        sps, pps = h264.sequence_parameters(), h264.picture_parameters()
        size = struct.pack(">HH", h264.WIDTH, h264.HEIGHT)
        config = _box(
            b"avcC",
            bytes([1, sps[1], sps[2], sps[3], 0xFF, 0xE1]),
            struct.pack(">H", len(sps)) + sps,
            bytes([1]) + struct.pack(">H", len(pps)) + pps,
        )
        entry = _box(
            b"avc1",
            bytes(6) + struct.pack(">H", 1) + bytes(16) + size,
            struct.pack(">IIIH", 0x480000, 0x480000, 0, 1) + bytes(32),
            struct.pack(">Hh", 24, -1),
            config,
        )
        table = _box(
            b"stbl",
            _full(b"stsd", 0, 0, struct.pack(">I", 1), entry),
            *(_full(kind, 0, 0, bytes(4)) for kind in (b"stts", b"stsc", b"stco")),
            _full(b"stsz", 0, 0, bytes(8)),
        )
        data = _box(b"dinf", _full(b"dref", 0, 0, struct.pack(">I", 1), _full(b"url ", 0, 1)))
        media_info = _box(b"minf", _full(b"vmhd", 0, 1, bytes(8)), data, table)
        media = _box(
            b"mdia",
            _full(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, _TIMESCALE, 0, 0x55C4, 0)),
            _full(b"hdlr", 0, 0, bytes(4) + b"vide" + bytes(12) + b"video\0"),
            media_info,
        )
        header = struct.pack(">IIIII", 0, 0, 1, 0, 0) + bytes(16) + _MATRIX
        header += struct.pack(">II", h264.WIDTH << 16, h264.HEIGHT << 16)
        movie = struct.pack(">IIIIIH", 0, 0, _TIMESCALE, 0, 0x10000, 0x100) + bytes(10)
        return _box(b"ftyp", b"iso6", bytes(4), b"iso6dash") + _box(
            b"moov",
            _full(b"mvhd", 0, 0, movie, _MATRIX, bytes(24), struct.pack(">I", 2)),
            _box(b"trak", _full(b"tkhd", 0, 3, header), media),
            _box(b"mvex", _full(b"trex", 0, 0, struct.pack(">IIIII", 1, 1, 0, 0, 0))),
        )
