"""One end of a flow: a host with a worker and a shuffle service; the first sender's end leads."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from testbed.traffic.base import FlowSpec
from testbed.traffic.jobs.shuffle import ShuffleService
from testbed.traffic.jobs.worker import COUNTER, Place, work
from testbed.traffic.process import Interval, Terminated, await_start
from testbed.traffic.records import RecordLog
from testbed.traffic.sockets import use_client_ports
from testbed.traffic.tcpinfo import INTERVAL_NS
from testbed.units import NS_PER_S

Role = Literal["sender", "receiver"]


def place_of(spec: FlowSpec, role: Role, slots: int) -> Place:
    """The worker of a flow's end. Data to the receiver of flow f is that flow's, by the port; its
    worker has number f. Senders' workers come behind.
    """
    if role == "receiver":
        return Place(spec.flow, spec.receiver_address, slots)
    return Place(spec.measured_flows + spec.flow, spec.sender_address, slots)


def run(spec: FlowSpec, role: Role) -> None:
    """Until the stop time or SIGTERM. Raises UserError, OSError, PolicyError."""
    terminated = Terminated()
    place = place_of(spec, role, int(spec.options["slots"]))
    workers = 2 * spec.measured_flows
    use_client_ports()
    with mmap.mmap(-1, COUNTER.size * place.slots) as counters, _worker(spec, place, counters):
        shuffle = ShuffleService(spec, place.address, range(workers))
        try:
            shuffle.start()
            if role == "sender" and spec.flow == 0:
                from testbed.traffic.jobs.master import lead

                lead(spec, terminated, workers)
            elif role == "sender":
                interval = await_start(terminated)
                if interval is not None:
                    _wait(interval, terminated, shuffle)
            else:
                _count(spec, counters, terminated, shuffle)
        finally:
            shuffle.close()
    if shuffle.failed is not None:
        raise shuffle.failed


@contextmanager
def _worker(spec: FlowSpec, place: Place, counters: mmap.mmap) -> Iterator[None]:
    """The worker's process, forked while this one has a single thread; it ends with this one,
    however this one ends.
    """
    lifeline, held = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_begin, args=(spec, place, counters, lifeline, held), daemon=True
    )
    process.start()
    os.close(lifeline)
    try:
        yield
    finally:
        process.kill()
        process.join()
        os.close(held)


def _begin(spec: FlowSpec, place: Place, counters: mmap.mmap, lifeline: int, held: int) -> None:
    os.close(held)
    work(spec.log_dir, place, counters, lifeline)


def _wait(interval: Interval, terminated: Terminated, shuffle: ShuffleService) -> None:
    while not terminated and shuffle.failed is None:
        left_s = (interval.stop_ns - time.monotonic_ns()) / NS_PER_S
        if left_s <= 0:
            return
        time.sleep(min(left_s, 0.1))


def _count(
    spec: FlowSpec, counters: mmap.mmap, terminated: Terminated, shuffle: ShuffleService
) -> None:
    """Log what the worker has received, which it counts in memory that outlives it."""
    log = RecordLog(
        spec.log_dir / f"goodput-{spec.flow}.parquet",
        {"flow": "i", "at_ns": "q", "received_bytes": "q"},
    )
    try:
        interval = await_start(terminated)
        while interval is not None and not terminated and shuffle.failed is None:
            now_ns = time.monotonic_ns()
            received = sum(number for (number,) in COUNTER.iter_unpack(counters[:]))
            log.append(spec.flow, now_ns, received)
            if now_ns >= interval.stop_ns:
                return
            time.sleep(INTERVAL_NS / NS_PER_S)
    finally:
        log.write_parquet()
