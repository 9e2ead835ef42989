"""The player's buffer. Pure: the time is passed in, ns on any one clock."""

from __future__ import annotations


class Playback:
    """Video that has arrived plays in real time; where there is none it stalls.

    The first chunk starts it. A request waits until its chunk fits below the cap.
    """

    def __init__(self, chunk_ns: int, cap_ns: int) -> None:
        """Lengths of a chunk and of the largest buffer."""
        self._chunk_ns, self._cap_ns = chunk_ns, cap_ns
        self.started_ns: int | None = None
        self._empty_at_ns = 0

    def buffer_ns(self, now_ns: int) -> int:
        """Video that is left to play."""
        return max(self._empty_at_ns - now_ns, 0)

    def stalled_ns(self, now_ns: int) -> int:
        """How long the picture has stood still since the buffer ran empty; 0 before the start."""
        return 0 if self.started_ns is None else max(now_ns - self._empty_at_ns, 0)

    def wait_ns(self, now_ns: int) -> int:
        """How long the next request must wait."""
        return max(self.buffer_ns(now_ns) + self._chunk_ns - self._cap_ns, 0)

    def arrived(self, now_ns: int) -> int:
        """A chunk is complete; returns the stall that it ended, 0 for the first chunk."""
        stall_ns = self.stalled_ns(now_ns)
        if self.started_ns is None:
            self.started_ns = self._empty_at_ns = now_ns
        self._empty_at_ns = max(self._empty_at_ns, now_ns) + self._chunk_ns
        return stall_ns
