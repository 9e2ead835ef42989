"""Which flows are open: from the agents' own numbers to the server's slots. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from policy.protocol.columns import Raw

Ints = NDArray[np.int64]
MAX_AGENT_SLOT = 2**20
UNKNOWN, STALE = -1, -2
"""In place of a slot: no such flow is open; the slot holds another generation."""


@dataclass(eq=False)
class Session:
    """One stream. index: its place in tables of sessions; slots, generations: by the agent's slot
    number.
    """

    index: int
    agent_id: str
    policy: str
    window_ns: int
    deadline_ns: int
    sequence: int = 0
    open_flows: int = 0
    slots: Ints = field(default_factory=lambda: np.full(64, UNKNOWN, np.int64))
    generations: Ints = field(default_factory=lambda: np.zeros(64, np.int64))

    def reach(self, agent_slot: int) -> None:
        """Make room for this slot number."""
        size = len(self.slots)
        if agent_slot >= size:
            more = max(agent_slot + 1, 2 * size) - size
            self.slots = np.concatenate((self.slots, np.full(more, UNKNOWN, np.int64)))
            self.generations = np.concatenate((self.generations, np.zeros(more, np.int64)))

    def lookup(self, *named: Raw) -> Ints:
        """Slots of the flows that the first two columns name; UNKNOWN or STALE where there is
        none.
        """
        flow = np.frombuffer(b"".join([raw.data[0] for raw in named]), np.uint32)
        generation = np.frombuffer(b"".join([raw.data[1] for raw in named]), np.uint32)
        if not len(flow):
            return np.empty(0, np.int64)
        outside = None
        if int(np.maximum.reduce(flow)) >= len(self.slots):
            outside = flow >= len(self.slots)
            flow = np.where(outside, 0, flow)
        slots: Ints = self.slots.take(flow)
        stale = self.generations.take(flow) != generation
        if np.logical_or.reduce(stale):
            slots[stale & (slots >= 0)] = STALE
        if outside is not None:
            slots[outside] = UNKNOWN
        return slots


@dataclass(frozen=True)
class Asked:
    """What n flows want decided: their newest windows; int64[n] each. epoch: changes whenever the
    slot is reused.
    """

    slot: Ints
    epoch: Ints
    window: Ints
    arrival_ns: Ints
    sequence: Ints

    def only(self, chosen: Ints) -> Asked:
        """The chosen flows."""
        return Asked(*(column[chosen] for column in vars(self).values()))


class FlowTable:
    """Slots of all sessions. A slot that is given back is free for reuse only after `recycle`."""

    def __init__(self, slots: int) -> None:
        self.session: Ints = np.full(slots, -1, np.int64)  # index of the session; -1: free
        self.agent_slot = np.zeros(slots, np.uint32)
        self.generation = np.zeros(slots, np.uint32)
        self.window: Ints = np.zeros(slots, np.int64)  # newest closed
        self.end_ns: Ints = np.zeros(slots, np.int64)  # of that window
        self.arrival_ns: Ints = np.zeros(
            slots, np.int64
        )  # of the batch that closed it, server's clock
        self.sequence: Ints = np.zeros(slots, np.int64)  # of that batch
        self._epoch: Ints = np.zeros(slots, np.int64)
        self._free = list(range(slots - 1, -1, -1))
        self._given_back: list[int] = []

    def open(self, session: Session, agent_slot: int, generation: int) -> int | None:
        """A slot for a new flow; None if there is none left."""
        if not self._free:
            return None
        slot = self._free.pop()
        session.reach(agent_slot)
        session.slots[agent_slot], session.generations[agent_slot] = slot, generation
        session.open_flows += 1
        self.session[slot] = session.index
        self.agent_slot[slot], self.generation[slot] = agent_slot, generation
        self.window[slot], self.end_ns[slot] = -1, 0
        self._epoch[slot] += 1
        return slot

    def close(self, session: Session, agent_slot: int) -> int:
        """Give the slot of an open flow back."""
        slot = int(session.slots[agent_slot])
        session.slots[agent_slot] = UNKNOWN
        session.open_flows -= 1
        self.session[slot] = -1
        self._given_back.append(slot)
        return slot

    def asked(self, slots: Ints) -> Asked:
        """The newest windows of open flows."""
        return Asked(
            slots,
            self._epoch[slots],
            self.window[slots],
            self.arrival_ns[slots],
            self.sequence[slots],
        )

    def is_open(self, asked: Asked) -> NDArray[np.bool_]:
        """Which of these flows are still open."""
        still: NDArray[np.bool_] = self._epoch[asked.slot] == asked.epoch
        return still & (self.session[asked.slot] >= 0)

    def recycle(self) -> Ints:
        """Slots given back since the last call, free from now on."""
        slots = np.array(self._given_back, np.int64)
        self._free.extend(self._given_back)
        self._given_back = []
        return slots

    @property
    def open_flows(self) -> int:
        """How many flows are open."""
        return len(self.session) - len(self._free) - len(self._given_back)
