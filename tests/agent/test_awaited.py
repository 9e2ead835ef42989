"""Windows that wait: when they are overdue, and which answers count."""

import numpy as np

from agent.answers import Answers
from agent.awaited import NEVER, AwaitedWindows
from agent.batch import WINDOW

MS = 1_000_000
WINDOW_NS, DEADLINE_NS = 100 * MS, 150 * MS


def awaiting(*windows: int, awaited: bool = True) -> AwaitedWindows:
    """A flow in slot 1 whose windows closed, the first at 100 ms."""
    waiting = AwaitedWindows(4, WINDOW_NS, DEADLINE_NS)
    waiting.open(1)
    for window in windows:
        closed = np.zeros(1, WINDOW)
        closed["slot"], closed["window"] = 1, window
        closed["end_ns"] = (window + 1) * WINDOW_NS
        closed["close_ack_ns"] = closed["end_ns"] + MS
        closed["since_ns"] = closed["end_ns"]
        waiting.closed(closed, awaited=awaited)
    return waiting


def answer(window: int, received_ns: int = 0) -> Answers:
    ones = np.ones(1)
    whole = np.ones(1, np.int64)
    tier, reasons = np.array(["gcc"]), np.zeros(1, np.uint8)
    return Answers(
        received_ns, whole, whole, window * whole, ones, ones, 0 * whole, 0 * whole, tier, reasons
    )


def test_the_older_window_keeps_its_deadline() -> None:
    waiting = awaiting(0, 1)
    assert waiting.next_due_ns == 250 * MS
    assert waiting.overdue(249 * MS).tolist() == []
    assert waiting.overdue(250 * MS).tolist() == [1]
    waiting.given_up(np.array([1]))
    assert waiting.next_due_ns == NEVER


def test_after_a_silence_the_deadline_counts_from_its_end() -> None:
    waiting = awaiting(0)
    closed = np.zeros(1, WINDOW)
    closed["slot"], closed["window"], closed["end_ns"] = 1, 1, 200 * MS
    closed["close_ack_ns"] = closed["since_ns"] = 9000 * MS
    waiting.answered(answer(0, received_ns=110 * MS))
    waiting.closed(closed, awaited=True)
    assert waiting.next_due_ns == 9150 * MS
    met = waiting.answered(answer(1, received_ns=9150 * MS))
    assert met.end_ns[0] == 200 * MS
    assert not met.missed[0]


def test_without_a_server_nothing_waits() -> None:
    assert awaiting(0, awaited=False).next_due_ns == NEVER


def test_an_answer_on_an_older_window_counts_until_a_newer_one_was_answered() -> None:
    waiting = awaiting(0, 1)
    met = waiting.answered(answer(0, received_ns=251 * MS))
    assert (met.end_ns[0], met.close_ack_ns[0]) == (100 * MS, 0)
    assert met.missed[0]
    assert not met.newest[0]
    assert waiting.next_due_ns == 350 * MS  # the newest still waits
    met = waiting.answered(answer(1, received_ns=350 * MS))
    assert (met.end_ns[0], met.close_ack_ns[0]) == (200 * MS, 201 * MS)
    assert met.newest[0]
    assert not met.missed[0]
    assert waiting.next_due_ns == NEVER
    assert [bool(waiting.current(answer(window))[0]) for window in (0, 1, 2)] == [
        False,
        True,
        False,
    ]


def test_a_new_flow_in_the_slot_begins_anew() -> None:
    waiting = awaiting(0, 1)
    waiting.answered_locally(np.array([1]))
    assert not waiting.current(answer(0))[0]
    waiting.open(1)
    assert waiting.next_due_ns == NEVER
    assert not waiting.current(answer(0))[0]  # none has closed
