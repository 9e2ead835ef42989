"""The ring reader on a memory file laid out as the kernel lays out a ring buffer."""

import mmap
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.layout import RECORD, RECORD_BYTES
from agent.ring import RingReader

SIZE = 4096
CAPACITY = SIZE // RECORD.itemsize
BUSY, DISCARDED = 1 << 31, 1 << 30


class FakeRing:
    """The kernel's side: writes each record at both places where the data is mapped."""

    def __init__(self):
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * mmap.PAGESIZE + 2 * SIZE)
        memory = mmap.mmap(self.fd, 0)
        self.consumed = np.frombuffer(memory, np.uint64, 1)
        self.produced = np.frombuffer(memory, np.uint64, 1, offset=mmap.PAGESIZE)
        self.data = np.frombuffer(memory, RECORD, 2 * CAPACITY, offset=2 * mmap.PAGESIZE)

    def write(self, serial, bits=0):
        index = int(self.produced[0]) // RECORD.itemsize % CAPACITY
        for place in (index, index + CAPACITY):
            self.data["slot"][place] = serial
            self.data["length"][place] = RECORD_BYTES | bits
        self.produced[0] += RECORD.itemsize
        return index

    def commit(self, index):
        for place in (index, index + CAPACITY):
            self.data["length"][place] = RECORD_BYTES


@pytest.fixture
def ring():
    fake = FakeRing()
    yield fake
    os.close(fake.fd)


@given(st.lists(st.integers(0, CAPACITY), max_size=20))
def test_every_record_once_and_in_order(bursts):
    fake = FakeRing()
    reader = RingReader(fake.fd, SIZE)
    serial, seen = 0, []
    for burst in bursts:
        for _ in range(burst):
            fake.write(serial)
            serial += 1
        assert reader.backlog() == burst
        seen += reader.drain()["slot"].tolist()
        assert reader.backlog() == 0
    assert seen == list(range(serial))
    os.close(fake.fd)


def test_a_record_being_written_holds_back_what_follows(ring):
    reader = RingReader(ring.fd, SIZE)
    ring.write(0)
    busy = ring.write(1, BUSY)
    ring.write(2)
    assert reader.drain()["slot"].tolist() == [0]
    assert reader.drain()["slot"].tolist() == []
    ring.commit(busy)
    assert reader.drain()["slot"].tolist() == [1, 2]


def test_discarded_records_are_left_out(ring):
    reader = RingReader(ring.fd, SIZE)
    ring.write(0)
    ring.write(1, DISCARDED)
    ring.write(2)
    assert reader.drain()["slot"].tolist() == [0, 2]
    assert reader.backlog() == 0


def test_drained_records_are_the_callers(ring):
    reader = RingReader(ring.fd, SIZE)
    ring.write(7)
    records = reader.drain()
    for serial in range(CAPACITY):
        ring.write(serial)
    assert records["slot"].tolist() == [7]
