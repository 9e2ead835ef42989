"""Frames on the wire: a fixed header, then as many bytes as make up the frame's size, header
included. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from testbed.traffic.video.encoder import MAX_FRAME_BYTES, Frame

_HEADER = struct.Struct("<4sII?q")  # magic, number, size, keyframe, captured_ns
_MAGIC = b"TBVF"
HEADER_BYTES = _HEADER.size


@dataclass(frozen=True)
class Received:
    """A frame that has arrived in full."""

    number: int
    keyframe: bool
    captured_ns: int
    size_bytes: int


def encode(frame: Frame) -> bytes:
    """The frame as sent; frames are at least a header long."""
    header = _HEADER.pack(_MAGIC, frame.number, frame.size_bytes, frame.keyframe, frame.captured_ns)
    return header + bytes(frame.size_bytes - HEADER_BYTES)


class Decoder:
    """Cuts the byte stream into frames. Payload is counted, not kept."""

    def __init__(self) -> None:
        self._header = b""
        self._frame: Received | None = None
        self._missing_bytes = 0

    def feed(self, data: bytes | memoryview) -> list[Received]:
        """Frames completed by ``data``. Raises ValueError if this is not a stream of frames."""
        completed: list[Received] = []
        data = memoryview(data)
        while data:
            if self._frame is None:
                take = HEADER_BYTES - len(self._header)
                self._header += bytes(data[:take])
                data = data[take:]
                if len(self._header) < HEADER_BYTES:
                    break
                self._frame = self._parse(self._header)
                self._missing_bytes = self._frame.size_bytes - HEADER_BYTES
                self._header = b""
            take = min(self._missing_bytes, len(data))
            self._missing_bytes -= take
            data = data[take:]
            if self._missing_bytes == 0:
                completed.append(self._frame)
                self._frame = None
        return completed

    def _parse(self, header: bytes) -> Received:
        magic, number, size_bytes, keyframe, captured_ns = _HEADER.unpack(header)
        if magic != _MAGIC or not HEADER_BYTES <= size_bytes <= MAX_FRAME_BYTES:
            raise ValueError(f"not a video frame: magic {magic!r}, size {size_bytes}")
        return Received(number, keyframe, captured_ns, size_bytes)
