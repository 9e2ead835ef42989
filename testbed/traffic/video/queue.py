"""Frames that wait in the sender for the socket to take them, and what becomes of those that waited
too long. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from testbed.traffic.video.encoder import Frame


class FrameQueue:
    """Frames in order. A frame of which a byte was written is always finished: TCP has no way
    back.
    """

    def __init__(self, max_age_ns: int, wire_bytes: Callable[[Frame], bytes]) -> None:
        """``wire_bytes`` gives what a frame looks like on the wire."""
        self._max_age_ns = max_age_ns
        self._wire_bytes = wire_bytes
        self._waiting: deque[Frame] = deque()
        self._current: memoryview = memoryview(b"")
        self.awaiting_keyframe = False  # frames are being skipped up to the next I-frame
        self.backlog_bytes = 0

    def add(self, frame: Frame) -> bool:
        """Queue a frame; False if it is skipped because the I-frame it refers to was."""
        if self.awaiting_keyframe and not frame.keyframe:
            return False
        self.awaiting_keyframe = False
        self._waiting.append(frame)
        self.backlog_bytes += frame.size_bytes
        return True

    def skip_stale(self, now_ns: int) -> list[Frame]:
        """Drop frames up to the next I-frame if the oldest waiting one is too old to matter;
        returns them.
        """
        skipped: list[Frame] = []
        if not self._waiting or now_ns - self._waiting[0].captured_ns <= self._max_age_ns:
            return skipped
        while self._waiting and (not skipped or not self._waiting[0].keyframe):
            frame = self._waiting.popleft()
            self.backlog_bytes -= frame.size_bytes
            skipped.append(frame)
        self.awaiting_keyframe = not self._waiting
        return skipped

    def waiting(self) -> list[Frame]:
        """Frames of which nothing was written."""
        return list(self._waiting)

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._current or self._waiting)

    def begin(self) -> tuple[memoryview, Frame | None]:
        """What to write next, and the frame if its first byte is in it. Only when there is
        something to write.
        """
        if self._current:
            return self._current, None
        frame = self._waiting[0]
        return memoryview(self._wire_bytes(frame)), frame

    def written(self, data: memoryview, size_bytes: int) -> None:
        """The socket took the first ``size_bytes`` (at least one) of ``data``, which ``begin``
        gave.
        """
        if not self._current:
            self._waiting.popleft()
        self._current = data[size_bytes:]
        self.backlog_bytes -= size_bytes
