"""A browser's video element as the buffer's clock. Pure: what the page reports is passed in."""

from __future__ import annotations


class VideoElement:
    """Takes the place of `Playback` where a browser plays: position and stalls are the element's.
    Times are ns on any one clock.
    """

    def __init__(self, chunk_ns: int) -> None:
        self._chunk_ns = chunk_ns
        self._chunks, self._position_ns = 0, 0
        self._stalled_since_ns: int | None = None
        self.started_ns: int | None = None
        self.ended = False

    def at(self, position_ns: int) -> None:
        """The element's position, as last reported."""
        self._position_ns = position_ns

    def buffer_ns(self, now_ns: int) -> int:
        """Video that has arrived and was not played."""
        return max(self._chunks * self._chunk_ns - self._position_ns, 0)

    def stalled_ns(self, now_ns: int) -> int:
        """How long the picture has stood still; 0 while it moves."""
        since_ns = self._stalled_since_ns
        return 0 if since_ns is None else max(now_ns - since_ns, 0)

    def arrived(self, now_ns: int) -> int:
        """A chunk is complete. The stall that it ends is known later, by `playing`."""
        self._chunks += 1
        return 0

    def waiting(self, at_ns: int) -> None:
        """The element ran out of video. Before the start, and again, it means nothing."""
        if self.started_ns is not None and self._stalled_since_ns is None and not self.ended:
            self._stalled_since_ns = at_ns

    def playing(self, at_ns: int) -> int:
        """The picture moves; returns the stall that ends now, 0 at the start."""
        if self.started_ns is None:
            self.started_ns = at_ns
        stall_ns = self.stalled_ns(at_ns)
        self._stalled_since_ns = None
        return stall_ns

    def end(self) -> None:
        """The last picture was shown."""
        self.ended, self._stalled_since_ns = True, None
