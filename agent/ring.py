"""Reads the datapath's ring buffer into NumPy arrays, without a Python step per record.

The kernel writes a record, then its header's length word (without the busy bit), then moves the
producer position, all in program order. On x86 other cores see stores in that order and loads are
not reordered with loads, so plain NumPy loads suffice: headers are checked first, then the records
are copied. On weakly ordered machines (arm64) the loads would need acquire barriers, which NumPy
does not have; `RingReader` refuses to run there.
"""

import mmap
import os
import platform

import numpy as np

from agent.errors import AgentError
from agent.layout import RECORD, Records

_BUSY, _DISCARDED = np.uint32(1 << 31), np.uint32(1 << 30)  # bits of a record's length
_NONE: Records = np.empty(0, RECORD)


class RingReader:
    """The consumer of one BPF ring buffer whose records all have the size of `RECORD`.

    fd: the ring buffer map (kept open by the caller); size_bytes: its capacity, a power of two.
    """

    def __init__(self, fd: int, size_bytes: int) -> None:
        if platform.machine() not in ("x86_64", "AMD64"):
            raise AgentError(
                f"the ring reader relies on x86 memory ordering; this is {platform.machine()}"
            )
        page = os.sysconf("SC_PAGESIZE")
        consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        # The kernel maps the data twice in a row, so that what wraps around is still contiguous.
        producer = mmap.mmap(
            fd, page + 2 * size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self.fd = fd
        self.capacity = size_bytes // RECORD.itemsize
        self._consumed = np.frombuffer(consumer, np.uint64, 1)
        self._produced = np.frombuffer(producer, np.uint64, 1)
        self._bytes = np.frombuffer(producer, np.uint8, 2 * size_bytes, offset=page)
        self._lengths = self._bytes.view(RECORD)["length"]

    def backlog(self) -> int:
        """Records written and not yet drained."""
        return (int(self._produced[0]) - int(self._consumed[0])) // RECORD.itemsize

    def drain(self) -> Records:
        """All committed records, oldest first, as one array of RECORD that the caller owns."""
        position = int(self._consumed[0])
        count = (int(self._produced[0]) - position) // RECORD.itemsize
        first = (position // RECORD.itemsize) % self.capacity
        if not count:
            return _NONE
        lengths = self._lengths[first : first + count]
        if (marks := np.bitwise_or.reduce(lengths)) & _BUSY:
            count = int((lengths >= _BUSY).argmax())
        start = first * RECORD.itemsize
        # Copying bytes and viewing them is ten times faster than copying structures.
        records = self._bytes[start : start + count * RECORD.itemsize].copy().view(RECORD)
        self._consumed[0] = position + count * RECORD.itemsize
        return records[records["length"] & _DISCARDED == 0] if marks & _DISCARDED else records
