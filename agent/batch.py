"""From records to what the server is sent: opened and closed flows, ACKs, and windows as they
close. Pure.

Window k of a flow covers [open + k w, open + (k + 1) w). The first ACK at or past its end closes
it; if none comes, the timer does, a little later. After a gap (the agent stalled, the ring overran)
the window that was open is closed and the empty ones between are skipped.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.layout import FLOW, OPEN_RECORD, Kind, Records, join

Integers = npt.NDArray[np.int64]
_OPEN, _ACK, _CLOSE = (
    int(Kind.OPEN),
    int(Kind.ACK),
    int(Kind.CLOSE),
)  # NumPy compares with plain numbers faster
FIRST_FLOW_PORT = 40000  # senders bind local port 40000 + flow

# : A window that closed. close_ack_ns is the kernel's time of the ACK that closed it, 0 where the
# timer did. since_ns: from when an answer could be given, its end or the end of a silence of the
# flow.
WINDOW = np.dtype(
    [
        ("slot", "<i8"),
        ("generation", "<i8"),
        ("window", "<i8"),
        ("end_ns", "<i8"),
        ("close_ack_ns", "<i8"),
        ("since_ns", "<i8"),
    ]
)


@dataclass(frozen=True)
class Opened:
    """A flow that appeared: its slot and generation name it on the wire."""

    slot: int
    generation: int
    open_ns: int
    local_port: int

    @property
    def flow(self) -> int:
        """Number in the logs, from the local port; -1 where that is none of the testbed's."""
        return flow_number(self.local_port)


class Silence(NamedTuple):
    """A flow was quiet: the timer closed no window of it between these times."""

    flow: int
    slot: int
    generation: int
    start_ns: int
    stop_ns: int


def flow_number(local_port: int) -> int:
    """The flow that binds this local port, or -1."""
    number = local_port - FIRST_FLOW_PORT
    return number if 0 <= number < 2**15 else -1


@dataclass(frozen=True)
class Batch:
    """What happened since the batch before. records: ACKs of owned flows, RECORD[n]; windows:
    WINDOW[m], in order.
    """

    opens: list[Opened]
    closes: list[tuple[int, int]]
    records: Records
    windows: npt.NDArray[np.void]


@dataclass
class Batcher:
    """Follows the flows of one agent.

    slots: size of the slot table; grace_ns: how long after a window's end the timer waits for a
    closing ACK; quiet_ns: the timer leaves a flow alone that has sent no record for so long;
    netns_cookies: own flows of these namespaces only (None: of any).
    """

    slots: int
    window_ns: int
    grace_ns: int = 10_000_000
    quiet_ns: int = 10_000_000_000
    netns_cookies: frozenset[int] | None = None
    unknown: set[int] = field(default_factory=set)  # slots seen in records whose OPEN is missing
    silences: list[Silence] = field(default_factory=list)  # that have ended

    def __post_init__(self) -> None:
        self.generation: Integers = np.zeros(self.slots, np.int64)  # 0: no owned flow here
        self.flow = np.full(self.slots, -1, np.int16)
        self.last_ns: Integers = np.zeros(self.slots, np.int64)  # last record
        self._woken_ns: Integers = np.zeros(self.slots, np.int64)  # end of the last silence
        self._open_ns: Integers = np.zeros(self.slots, np.int64)
        self._foreign: Integers = np.zeros(
            self.slots, np.int64
        )  # generation of a flow that is not ours
        self._window: Integers = np.zeros(self.slots, np.int64)  # the one open now …
        self._end_ns: Integers = np.zeros(self.slots, np.int64)  # … and its end
        self._opens: list[Opened] = []
        self._closes: list[tuple[int, int]] = []
        self._records: list[Records] = []
        self._windows: list[tuple[int, int, int, int, int, int]] = []  # as WINDOW

    def live(self) -> Integers:
        """Slots of the owned flows."""
        return np.flatnonzero(self.generation)

    def add(self, records: Records) -> None:
        """Take records in the order the ring gave them. Those of unknown flows are left out and
        noted in `unknown`.
        """
        if not len(records):
            return
        kinds = records["kind"]
        rare = np.flatnonzero((kinds == _OPEN) | (kinds == _CLOSE))
        start = 0
        for index in rare.tolist():
            self._add_acks(records[start:index])
            start = index + 1
            if kinds[index] == _OPEN:
                opened = records[index : index + 1].view(OPEN_RECORD)[0]
                self.open(int(opened["slot"]), opened, int(opened["at_ns"]))
            else:
                slot, generation, at_ns = records[["slot", "generation", "at_ns"]][index].tolist()
                self.close(slot, generation, at_ns)
        self._add_acks(records[start:])

    def open(self, slot: int, identity: np.void, open_ns: int) -> None:
        """A flow took `slot`. identity: an OPEN record or an entry of the flow table."""
        self.unknown.discard(slot)
        generation = int(identity["generation"])
        if self.generation[slot] == generation:
            return
        if self.generation[slot]:
            self.close(slot, int(self.generation[slot]), open_ns)
        if (
            self.netns_cookies is not None
            and int(identity["netns_cookie"]) not in self.netns_cookies
        ):
            self._foreign[slot] = generation
            return
        opened = Opened(slot, generation, open_ns, int(identity["local_port"]))
        self.generation[slot] = generation
        self.flow[slot] = opened.flow
        self._open_ns[slot] = self.last_ns[slot] = self._woken_ns[slot] = open_ns
        self._enter(slot, 0)
        self._opens.append(opened)

    def close(self, slot: int, generation: int, at_ns: int) -> None:
        """The flow ended."""
        if generation and self.generation[slot] == generation:
            self.wake([slot], at_ns)
            self.generation[slot] = 0
            self._closes.append((slot, generation))

    def reconcile(self, table: npt.NDArray[np.void], slots: Iterable[int], now_ns: int) -> None:
        """Compare `slots` with the datapath's flow table (FLOW[slots]): heals missing OPEN and
        CLOSE records.

        A flow found this way starts at the window that is open now: what came before is not known.
        """
        assert table.dtype == FLOW
        for slot in slots:
            entry = table[slot]
            known = int(self.generation[slot])
            if known and (not entry["live"] or entry["generation"] != known):
                self.close(slot, known, now_ns)
            if entry["live"] and entry["generation"] != known:
                self.open(slot, entry, int(entry["open_ns"]))
                if self.generation[slot]:
                    self._enter(slot, max(0, now_ns - int(entry["open_ns"])) // self.window_ns)
                    self.last_ns[slot] = now_ns
        self.unknown.difference_update(slots)

    def wake(self, slots: Iterable[int], at_ns: int) -> None:
        """The silences of these flows that have lasted until now are over."""
        for slot in slots:
            start_ns = int(self.last_ns[slot]) + self.quiet_ns
            if at_ns >= start_ns:
                flow, generation = int(self.flow[slot]), int(self.generation[slot])
                self.silences.append(Silence(flow, slot, generation, start_ns, at_ns))
                self.last_ns[slot] = self._woken_ns[slot] = at_ns

    def _add_acks(self, records: Records) -> None:
        slots = records["slot"].astype(np.int64)
        known = self.generation[slots] == records["generation"]
        if not known.all():
            strange = ~known & (self._foreign[slots] != records["generation"])
            self.unknown.update(np.unique(slots[strange]).tolist())
            records, slots = records[known], slots[known]
        if not len(records):
            return
        at_ns = records["at_ns"].view(np.int64)
        for index in np.flatnonzero(at_ns >= self.last_ns[slots] + self.quiet_ns).tolist():
            before = np.flatnonzero(slots[:index] == slots[index])
            if len(before):
                self.last_ns[slots[index]] = at_ns[before[-1]]
            self.wake([int(slots[index])], int(at_ns[index]))
        self.last_ns[slots] = at_ns  # of several the last one stays: they are in order
        acks = records["kind"] == _ACK
        if not acks.all():
            records, slots, at_ns = records[acks], slots[acks], at_ns[acks]
        self._records.append(records)
        late = np.flatnonzero(at_ns >= self._end_ns[slots])
        # Each first ACK of a later window closes the flow's window before.
        for slot, ack_ns in zip(slots[late].tolist(), at_ns[late].tolist(), strict=True):
            if ack_ns >= self._end_ns[slot]:
                self._end(slot, ack_ns, close_ack_ns=ack_ns)

    def _end(self, slot: int, now_ns: int, *, close_ack_ns: int) -> None:
        """The flow's open window has ended; the one of `now_ns` is open from now on."""
        window, end_ns = int(self._window[slot]), int(self._end_ns[slot])
        since_ns = max(end_ns, min(int(self._woken_ns[slot]), now_ns))
        self._windows.append(
            (slot, int(self.generation[slot]), window, end_ns, close_ack_ns, since_ns)
        )
        self._enter(slot, (now_ns - int(self._open_ns[slot])) // self.window_ns)

    def _enter(self, slot: int, window: int) -> None:
        self._window[slot] = window
        self._end_ns[slot] = self._open_ns[slot] + (window + 1) * self.window_ns

    def expire(self, now_ns: int) -> None:
        """Close by the timer what no ACK closed in time."""
        slots = self._active(now_ns)
        for slot in slots[now_ns >= self._end_ns[slots] + self.grace_ns].tolist():
            self._end(slot, now_ns, close_ack_ns=0)

    def next_expiry_ns(self, now_ns: int) -> int | None:
        """When `expire` has something to do at the earliest; None while no flow is active."""
        slots = self._active(now_ns)
        return int(self._end_ns[slots].min()) + self.grace_ns if len(slots) else None

    def _active(self, now_ns: int) -> Integers:
        slots = self.live()
        return slots[now_ns < self.last_ns[slots] + self.quiet_ns]

    def ripe(self) -> bool:
        """Whether a window has closed or a flow come or gone since `take`: reason to send at
        once.
        """
        return bool(self._windows or self._opens or self._closes)

    def take(self) -> Batch | None:
        """What has gathered since the last call; None if nothing."""
        if not (self._records or self.ripe()):
            return None
        batch = Batch(
            self._opens,
            self._closes,
            join(self._records),
            np.array(self._windows, WINDOW),
        )
        self._opens, self._closes, self._records, self._windows = [], [], [], []
        return batch
