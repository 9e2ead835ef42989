"""The receiver's jitter buffer: when a completed frame is displayed. Pure.

Sender and receiver share one clock, so a frame is due for display at captured + jitter buffer: the
same deadline for every controller. (A base taken from the first frame's delay would give a longer
buffer, hence fewer stalls, to the controller that starts slowest.) One that is complete by then is
displayed at that time, a late one as soon as it is complete, never before its predecessor. Skipped
frames are never displayed.
"""

from __future__ import annotations


class JitterBuffer:
    """Display times of frames, fed in the order of the stream."""

    def __init__(self, buffer_ns: int) -> None:
        self._buffer_ns = buffer_ns
        self._last_display_ns = 0

    def display_ns(self, captured_ns: int, completed_ns: int) -> int:
        """When the frame is displayed."""
        due_ns = captured_ns + self._buffer_ns
        self._last_display_ns = max(due_ns, completed_ns, self._last_display_ns)
        return self._last_display_ns
