"""A program's output, kept within bounds: its beginning and its end."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

KEPT_BYTES = 512 * 1024
"""Of the beginning, and as much of the end."""
FLOOD_BYTES = 64 * 1024 * 1024
"""More output than this ends the program: reading it takes the processor from the experiment."""
_CHUNK_BYTES = 65_536


class BoundedOutput:
    """Takes output as it comes and writes a file of at most 2 x KEPT_BYTES and a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self.head = bytearray()
        self.total_bytes = 0

    def write(self, data: bytes) -> None:
        """The next bytes. Raises OSError when the disk is full."""
        self.total_bytes += len(data)
        room = KEPT_BYTES - len(self.head)
        if room > 0:
            self.head += data[:room]
            self._file.write(data[:room])
            self._file.flush()
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_bytes += len(data)
            while self._tail_bytes - len(self._tail[0]) >= KEPT_BYTES:
                self._tail_bytes -= len(self._tail.popleft())

    def last_line(self) -> str:
        """The last line that is not blank, shortened to 200 characters; "no output" without one."""
        text = (bytes(self.head) + b"".join(self._tail))[-8192:].decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:200] if lines else "no output"

    def close(self) -> None:
        """Write the end, and how much between is left out."""
        tail = b"".join(self._tail)[-KEPT_BYTES:]
        left_out = self.total_bytes - len(self.head) - len(tail)
        if left_out:
            self._file.write(f"\n... {left_out} bytes are left out ...\n".encode())
        self._file.write(tail)
        self._file.close()


def drain(fd: int, output: BoundedOutput) -> bool:
    """Read ``fd`` to its end into ``output``; False if it was given up as a flood."""
    while data := os.read(fd, _CHUNK_BYTES):
        output.write(data)
        if output.total_bytes > FLOOD_BYTES:
            return False
    return True
