"""Which windows wait for an answer, and until when. Pure: `now` is an argument."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.answers import Answers

NEVER = np.iinfo(np.int64).max
Integers = npt.NDArray[np.int64]


class Met(NamedTuple):
    """Of n windows that were answered: when they ended; the time of the ACK that closed each, 0
    where a newer one has closed since; whether the answer came after the deadline, and whether it
    is on the newest window.
    """

    end_ns: Integers
    close_ack_ns: Integers
    missed: npt.NDArray[np.bool_]
    newest: npt.NDArray[np.bool_]


class AwaitedWindows:
    """Per slot, the newest window that closed, the newest that anybody has answered, and the time
    at which the local policy must answer.
    """

    def __init__(self, slots: int, window_ns: int, deadline_ns: int) -> None:
        self._window_ns, self._deadline_ns = window_ns, deadline_ns
        self.window: Integers = np.full(slots, -1)
        self.end_ns: Integers = np.zeros(slots, np.int64)
        self.close_ack_ns: Integers = np.zeros(slots, np.int64)
        self._answered: Integers = np.full(slots, -1)
        self._since_ns: Integers = np.zeros(slots, np.int64)  # the deadline counts from here
        self._due_ns: Integers = np.full(slots, NEVER)

    def __len__(self) -> int:
        return len(self.window)

    def open(self, slot: int) -> None:
        """A new flow has the slot."""
        self._due_ns[slot], self.window[slot], self._answered[slot] = NEVER, -1, -1

    def close(self, slot: int) -> None:
        """The flow has ended."""
        self._due_ns[slot] = NEVER

    def closed(self, windows: npt.NDArray[np.void], *, awaited: bool) -> None:
        """These windows closed, oldest first within a flow. awaited: a server is to answer them.

        An older window that still waits keeps its earlier time: the deadline may be longer than a
        window.
        """
        slots = windows["slot"]
        self.window[slots] = windows["window"]
        self.end_ns[slots] = windows["end_ns"]
        self.close_ack_ns[slots] = windows["close_ack_ns"]
        self._since_ns[slots] = windows["since_ns"]
        if awaited:
            due_ns = windows["since_ns"] + self._deadline_ns
            self._due_ns[slots] = np.minimum(self._due_ns[slots], due_ns)

    def overdue(self, now_ns: int) -> Integers:
        """Slots whose window the local policy must answer now."""
        return np.flatnonzero(self._due_ns <= now_ns)

    @property
    def next_due_ns(self) -> int:
        """When the next window is overdue; NEVER if none waits."""
        return int(self._due_ns.min())

    def current(self, answers: Answers) -> npt.NDArray[np.bool_]:
        """Which answers are on a window that closed, and on none before the last that was
        answered.
        """
        slots = answers.slot
        current: npt.NDArray[np.bool_] = answers.window >= self._answered[slots]
        return current & (answers.window <= self.window[slots])

    def answered(self, answers: Answers) -> Met:
        """These current answers are in force."""
        slots = answers.slot
        self._answered[slots] = answers.window
        newest = answers.window == self.window[slots]
        self._due_ns[slots] = np.where(newest, NEVER, self._since_ns[slots] + self._deadline_ns)
        end_ns = self.end_ns[slots] - (self.window[slots] - answers.window) * self._window_ns
        since_ns = np.where(newest, self._since_ns[slots], end_ns)
        missed = answers.received_ns - since_ns > self._deadline_ns
        return Met(end_ns, np.where(newest, self.close_ack_ns[slots], 0), missed, newest)

    def given_up(self, slots: Integers) -> None:
        """The local policy is asked for these slots' newest windows."""
        self._due_ns[slots] = NEVER

    def answered_locally(self, slots: Integers) -> None:
        """Its answers are in force."""
        self._answered[slots] = self.window[slots]
