"""Windows close once each, in order, by ACKs or by the timer, whatever the records look like."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.batch import Batcher, flow_number
from agent.layout import FLOW, OPEN_RECORD, RECORD, Kind, join

W = 100


def opened(slot=0, generation=1, at_ns=1000, port=40000, cookie=5):
    record = np.zeros(1, OPEN_RECORD)
    record["kind"], record["slot"], record["generation"], record["at_ns"] = (
        Kind.OPEN,
        slot,
        generation,
        at_ns,
    )
    record["local_port"], record["netns_cookie"] = port, cookie
    return record.view(RECORD)


def acks(times, slot=0, generation=1, kind=Kind.ACK):
    records = np.zeros(len(times), RECORD)
    records["kind"], records["slot"], records["generation"], records["at_ns"] = (
        kind,
        slot,
        generation,
        times,
    )
    return records


def batcher(**options):
    return Batcher(4, W, **{"grace_ns": 10, "quiet_ns": 10**9, **options})


def windows(batch):
    return [
        tuple(row) for row in batch.windows[["slot", "window", "end_ns", "close_ack_ns"]].tolist()
    ]


def test_the_first_ack_at_or_past_the_boundary_closes():
    b = batcher()
    b.add(opened())
    b.add(acks([1000, 1099, 1100, 1150, 1199, 1230]))
    batch = b.take()
    assert [flow.slot for flow in batch.opens] == [0]
    assert batch.opens[0].flow == 0
    assert len(batch.records) == 6
    assert windows(batch) == [(0, 0, 1100, 1100), (0, 1, 1200, 1230)]
    assert b.take() is None


def test_the_timer_closes_what_no_ack_closed():
    b = batcher()
    b.add(opened())
    b.take()
    assert b.next_expiry_ns(1050) == 1110
    b.expire(1109)
    assert b.take() is None
    b.expire(1110)
    assert windows(b.take()) == [(0, 0, 1100, 0)]
    b.add(acks([1115]))  # late: its window has closed, but a record is a record
    b.add(acks([1200]))
    assert windows(b.take()) == [(0, 1, 1200, 1200)]


def test_a_gap_closes_the_open_window_and_skips_the_empty_ones():
    b = batcher()
    b.add(opened())
    b.add(acks([1010, 1560]))
    assert windows(b.take()) == [(0, 0, 1100, 1560)]
    b.expire(1650)
    assert windows(b.take()) == [(0, 5, 1600, 0)]


def test_quiet_flows_leave_the_timer_alone():
    b = batcher(quiet_ns=500)
    b.add(opened())
    b.take()
    b.expire(1600)
    assert b.take() is None
    assert b.next_expiry_ns(1600) is None
    b.add(acks([5005]))
    assert windows(b.take()) == [(0, 0, 1100, 5005)]
    assert b.next_expiry_ns(5010) == 5110


def test_after_a_silence_an_answer_is_due_from_the_first_record_on():
    b = batcher(quiet_ns=500)
    b.add(opened())
    b.add(acks([1010]))
    assert b.silences == []
    b.add(join([acks([5005], kind=Kind.STATE), acks([5010, 5160])]))
    assert b.take().windows["since_ns"].tolist() == [5005, 5100]
    assert b.silences == [(0, 0, 1, 1510, 5005)]
    b.add(acks([9000], kind=Kind.CLOSE))  # a silence ends with the flow
    assert b.silences[1:] == [(0, 0, 1, 5660, 9000)]


def test_a_flow_that_is_not_quiet_has_no_silence():
    b = batcher(quiet_ns=500)
    b.add(opened())
    b.add(acks([1400, 1800, 2299]))
    assert b.take().windows["since_ns"].tolist() == [1100, 1500, 1900]
    b.add(acks([2700], kind=Kind.CLOSE))
    assert b.silences == []


@given(st.lists(st.integers(0, 1200), max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_windows_are_unique_ordered_and_past(gaps, cuts):
    """However the records are cut into drains, with the timer running in between."""
    times = (1000 + np.cumsum(gaps)).tolist()
    b = batcher(quiet_ns=10**12)
    b.add(opened())
    seen, taken, now = [], 0, 1000
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(times)], strict=True):
        part = times[start:end]
        b.add(acks(part))
        now = max([now, *part])
        b.expire(now)
        if (batch := b.take()) is not None:
            taken += len(batch.records)
            for _, window, end_ns, close_ack_ns in windows(batch):
                assert end_ns == 1000 + (window + 1) * W
                assert end_ns <= (close_ack_ns or now)
                seen.append(window)
    assert taken == len(times)
    assert seen == sorted(set(seen))
    held = {(time - 1000) // W for time in times}
    assert held - {max(held, default=0)} <= set(
        seen
    )  # each that held an ACK, but the one still open


def test_generations_tell_flows_in_one_slot_apart():
    b = batcher()
    b.add(join([opened(generation=1), acks([1010]), acks([1020], kind=Kind.CLOSE),
                opened(generation=2, at_ns=1030, port=40007),
                acks([1040], generation=2), acks([1050], generation=1)]))  # fmt: skip
    batch = b.take()
    assert [(flow.generation, flow.flow) for flow in batch.opens] == [(1, 0), (2, 7)]
    assert batch.closes == [(0, 1)]
    assert batch.records["generation"].tolist() == [1, 2]
    assert b.unknown == {0}


def test_a_flow_whose_open_was_lost_is_found_in_the_table():
    b = batcher()
    b.add(acks([2310], slot=2, generation=9))
    assert b.unknown == {2}
    assert b.take() is None
    table = np.zeros(4, FLOW)
    table[2]["generation"], table[2]["live"], table[2]["open_ns"], table[2]["local_port"] = (
        9,
        1,
        2000,
        40003,
    )
    b.reconcile(table, [2], 2310)
    assert not b.unknown
    b.add(acks([2320, 2405], slot=2, generation=9))
    batch = b.take()
    assert (batch.opens[0].open_ns, batch.opens[0].flow) == (2000, 3)
    assert windows(batch) == [(2, 3, 2400, 2405)]  # from the window it was found in
    table[2]["live"] = 0
    b.reconcile(table, [2], 2500)
    assert b.take().closes == [(2, 9)]


def test_flows_of_other_namespaces_are_not_ours():
    b = batcher(netns_cookies=frozenset({6}))
    b.add(join([opened(cookie=5), acks([1200])]))
    assert b.take() is None
    assert not b.unknown
    b.add(join([opened(slot=1, cookie=6), acks([1050], slot=1)]))
    assert len(b.take().records) == 1


def test_flow_numbers_come_from_the_senders_port():
    assert [flow_number(port) for port in (40000, 40012, 39999, 0)] == [0, 12, -1, -1]
