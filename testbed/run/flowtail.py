"""What every flow does right now: the tails of the logs that links and agent write in a cell."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from testbed.links.base import DELIVERED
from testbed.links.relay.log import RECORD, flows_of
from testbed.units import NS_PER_S

_READINGS = 5  # that a rate is averaged over
_MAX_BYTES = 8 << 20  # of a log in one reading; what is older than that is passed over
_DECISIONS_EVERY = 5  # readings; the agent writes once in a second


@dataclass(frozen=True)
class FlowNow:
    """A flow in the last half second. Flow -1: packets of no known flow.

    queue_ns: mean queueing delay of its data, over all links; tier: who answered most of its
    windows, with the share; empty without a policy.
    """

    flow: int
    rate_bps: float
    queue_ns: float
    lost_packets: int
    tier: str


class FlowTail:
    """Reads what is new in a cell's folder. Files appear when the cell begins; `close` at its
    end.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._packets: dict[Path, BinaryIO] = {}
        self._decisions: dict[Path, _ArrowTail] = {}
        self._readings: deque[tuple[int, _Sums]] = deque(maxlen=_READINGS + 1)
        self._tiers: dict[int, Counter[str]] = {}
        self._seen = np.zeros(1, bool)
        self._count = 0

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def read(self, now_ns: int) -> list[FlowNow]:
        """The flows, by number; ``now_ns`` never decreases. Raises OSError."""
        if self._count % _DECISIONS_EVERY == 0:
            self._open()
            self._read_decisions()
        self._count += 1
        sums = _Sums()
        for file in self._packets.values():
            sums.add(_new_records(file))
        self._readings.append((now_ns, sums))
        first_ns = self._readings[0][0]
        width = max(len(self._seen), *(reading.table.shape[1] for _, reading in self._readings))
        recent = np.zeros((4, width))
        for at_ns, reading in self._readings:
            if at_ns > first_ns:
                recent[:, : reading.table.shape[1]] += reading.table
        seen = recent[_Sums.PACKETS] + recent[_Sums.LOST] > 0
        seen[: len(self._seen)] |= self._seen
        self._seen = seen
        places = np.flatnonzero(seen)
        length_ns = max(1, now_ns - first_ns)
        columns = recent[:, places].T.tolist()
        return [
            FlowNow(
                flow=place - 1,
                rate_bps=size_bytes * 8 * NS_PER_S / length_ns,
                queue_ns=waited_ns / packets if packets else 0.0,
                lost_packets=int(lost),
                tier=self._tier(place - 1),
            )
            for place, (packets, size_bytes, waited_ns, lost) in zip(
                places.tolist(), columns, strict=True
            )
        ]

    def _tier(self, flow: int) -> str:
        tiers = self._tiers.get(flow)
        if not tiers:
            return ""
        (name, count), *_ = tiers.most_common(1)
        return f"{name} {count / tiers.total():.0%}"

    def _open(self) -> None:
        for path in self._folder.glob("link-*.packets"):
            if path not in self._packets:
                self._packets[path] = self._stack.enter_context(path.open("rb"))
        for path in self._folder.glob("decisions-*.arrows"):
            if path not in self._decisions:
                self._decisions[path] = _ArrowTail(self._stack.enter_context(path.open("rb")))

    def _read_decisions(self) -> None:
        for tail in self._decisions.values():
            batches = tail.read()
            if batches:
                self._tiers = {}
            for batch in batches:
                pairs = zip(batch["flow"].to_pylist(), batch["tier"].to_pylist(), strict=True)
                for flow, tier in pairs:
                    self._tiers.setdefault(flow, Counter())[tier] += 1


class _Sums:
    """Of the data packets of each flow in one reading, over all links: ``table`` is float64[4,
    highest flow + 2], with the packets of no flow in the first column.
    """

    PACKETS, BYTES, WAITED_NS, LOST = range(4)  # delivered; of those; of those; dropped

    def __init__(self) -> None:
        self.table = np.zeros((4, 1))

    def add(self, records: npt.NDArray[np.void]) -> None:
        """Add a link's. Of a flow over several links packets and bytes of the busiest count."""
        if not len(records):
            return
        flow, ack = flows_of(records["source_port"], records["destination_port"])
        data = records[~ack]
        if not len(data):
            return
        place = flow[~ack].astype(np.int64) + 1
        width = max(self.table.shape[1], int(place.max()) + 1)
        delivered = data["verdict"] == DELIVERED
        waited_ns = np.where(delivered, data["dequeue_ns"] - data["enqueue_ns"], 0)
        sizes = np.where(delivered, data["size_bytes"], 0)
        found = np.array(
            [
                np.bincount(place, weights, minlength=width)
                for weights in (delivered, sizes, waited_ns, data["dequeue_ns"] < 0)
            ]
        )
        known = self.table.shape[1]
        busiest, summed = found[: self.WAITED_NS, :known], found[self.WAITED_NS :, :known]
        np.maximum(busiest, self.table[: self.WAITED_NS], out=busiest)
        summed += self.table[self.WAITED_NS :]
        self.table = found


def _new_records(file: BinaryIO) -> npt.NDArray[np.void]:
    """Whole records behind the place of the last reading."""
    start = file.tell()
    end = file.seek(0, 2)
    whole = (end - start) // RECORD.itemsize * RECORD.itemsize
    if whole > _MAX_BYTES:
        start += whole - _MAX_BYTES // RECORD.itemsize * RECORD.itemsize
        whole = _MAX_BYTES // RECORD.itemsize * RECORD.itemsize
    file.seek(start)
    data = file.read(whole)
    file.seek(start + whole)
    return np.frombuffer(data[: len(data) // RECORD.itemsize * RECORD.itemsize], RECORD)


class _ArrowTail:
    """The record batches of an Arrow stream that is still being written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._schema: pa.Schema | None = None

    def read(self) -> list[pa.RecordBatch]:
        """The whole batches behind the last reading."""
        found: list[pa.RecordBatch] = []
        while True:
            at = self._file.tell()
            try:
                message = pa.ipc.read_message(self._file)
                if self._schema is None:
                    self._schema = pa.ipc.read_schema(message)
                else:
                    found.append(pa.ipc.read_record_batch(message, self._schema))
            except (EOFError, OSError, pa.ArrowInvalid):  # not written yet, or not whole
                self._file.seek(at)
                return found
