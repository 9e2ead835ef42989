"""Windows: by hand, and the laws that folding obeys."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.tasks.congestion.fields import COUNTERS, FIELDS, LEVELS, F
from policy.tasks.congestion.windows import Records, WindowFolder, rounds

MS = 1_000_000
MSS = 1000
END_MS = 2000  # later than any record of `streams`


def records(
    at_ms: list[float],
    *,
    slot: int = 0,
    delivered: list[int] | None = None,
    lost: list[int] | None = None,
    rtt_ms: list[float] | None = None,
    rate_bps: float = np.nan,
    app_limited: bool = False,
    inflight: float = 5.0,
    pacing_bps: float = 1e6,
) -> Records:
    """Records of one flow; delivered and lost are cumulative bytes."""
    n = len(at_ms)
    counters = np.zeros((n, len(COUNTERS)), np.int64)
    bytes_ = np.array(delivered if delivered is not None else [(i + 1) * MSS for i in range(n)])
    counters[:, COUNTERS.index("delivered_bytes")] = counters[:, COUNTERS.index("acked_bytes")] = (
        bytes_
    )
    counters[:, COUNTERS.index("sent_bytes")] = 2 * bytes_
    counters[:, COUNTERS.index("delivered_packets")] = bytes_ // MSS
    counters[:, COUNTERS.index("lost_bytes")] = lost if lost is not None else 0
    level = {
        "srtt_ns": 50e6,
        "min_rtt_ns": 40e6,
        "mss_bytes": MSS,
        "cwnd_packets": 10,
        "inflight_packets": inflight,
        "pacing_rate_bps": pacing_bps,
    }
    return Records(
        np.full(n, slot),
        (np.array(at_ms) * MS).astype(np.int64),
        counters,
        np.tile([level[name] for name in LEVELS], (n, 1)).astype(np.float64),
        np.array(rtt_ms if rtt_ms is not None else [50.0] * n) * 1e6,
        np.full(n, rate_bps),
        np.full(n, app_limited),
    )


def folder(slots: int = 1) -> WindowFolder:
    made = WindowFolder(slots)
    made.open(np.arange(slots), np.zeros(slots, np.int64))
    return made


def fold(f: WindowFolder, r: Records, *ends_ms: float, slot: int = 0) -> np.ndarray:
    ends = (np.array(ends_ms) * MS).astype(np.int64)
    return f.fold(r, np.full(len(ends), slot), ends)[0]


NOTHING = records([])


def test_a_window_by_hand() -> None:
    f = folder()
    # ACKs every 10 ms from 10 to 100; the last one belongs to the next window.
    at = [float(t) for t in range(10, 101, 10)]
    lost = [0] * 4 + [2000] * 6
    row = fold(f, records(at, lost=lost, rtt_ms=[40.0 + t / 10 for t in at]), 100)[0]
    value = {name: row[F[name]] for name in FIELDS}
    assert value["duration_ns"] == 100 * MS
    assert value["acks"] == 9
    assert value["acked_bytes"] == 8 * MSS  # the first record is the base
    assert value["delivery_rate_bps"] == pytest.approx(8 * MSS * 8 / 0.08)
    assert value["send_rate_bps"] == pytest.approx(2 * value["delivery_rate_bps"])
    assert value["rtt_mean_ns"] == pytest.approx(45e6)
    assert value["rtt_min_ns"] == pytest.approx(41e6)
    assert value["rtt_gradient"] == pytest.approx(0.1)
    assert value["queueing_delay_ns"] == pytest.approx(5e6)
    assert value["lost_bytes"] == 2000
    assert value["loss_rate"] == pytest.approx(0.2)
    assert value["inflight_bytes"] == 5 * MSS
    assert value["cwnd_bytes"] == 10 * MSS
    assert value["since_loss_ns"] == 50 * MS
    assert value["bandwidth_bps"] == value["delivery_rate_bps"]


def test_silence_with_data_in_flight_is_delay_and_no_rate() -> None:
    f = folder()
    rows = fold(f, records([50, 60, 70]), 100, 200, 300)
    assert rows[1:, F["acks"]].tolist() == [0, 0]
    assert rows[2, F["delivery_rate_bps"]] == 0
    assert rows[2, F["rtt_mean_ns"]] == 230 * MS
    assert rows[2, F["app_limited_share"]] == 0
    assert rows[2, F["bandwidth_bps"]] == rows[0, F["bandwidth_bps"]] > 0


def test_an_idle_flow_is_application_limited_and_keeps_its_delay() -> None:
    row = fold(folder(), records([50, 60], inflight=0), 100, 200)[1]
    assert row[F["app_limited_share"]] == 1
    assert row[F["rtt_mean_ns"]] == 50 * MS


def test_a_flow_without_any_record_has_finite_windows() -> None:
    assert np.isfinite(fold(folder(), NOTHING, 100, 200)).all()


def test_a_burst_after_silence_is_no_rate() -> None:
    f = folder()
    fold(f, records([99.5], delivered=[1000]), 100)
    row = fold(f, records([100.5], delivered=[11000]), 200)[0]
    assert row[F["delivery_rate_bps"]] == pytest.approx(
        10_000 * 8 / 0.05
    )  # over half the window at least


def test_a_counter_that_falls_starts_a_new_base() -> None:
    f = folder()
    rows, _, fell = f.fold(
        records([10, 20, 30, 40], delivered=[5000, 6000, 100, 1100]),
        np.zeros(1, np.int64),
        np.array([100 * MS]),
    )
    assert fell == 1
    assert rows[0, F["acked_bytes"]] == 2000


def test_records_that_are_ahead_of_their_window_wait_for_it() -> None:
    at_once, later = folder(), folder()
    stream = [10.0, 60.0, 110.0, 160.0, 230.0]
    expected = fold(at_once, records(stream), 100, 200)
    first = fold(later, records(stream), 100)  # 230 is past the next window's end, too
    np.testing.assert_array_equal(np.concatenate((first, fold(later, NOTHING, 200))), expected)


def test_older_records_are_left_out_and_counted() -> None:
    f = folder()
    fold(f, records([10, 50]), 60)
    _, stale, _ = f.fold(
        records([20, 70], delivered=[9000, 3000]), np.empty(0, np.int64), np.empty(0, np.int64)
    )
    assert stale == 1


def test_a_new_flow_in_a_slot_inherits_nothing() -> None:
    f, fresh = folder(), folder()
    fold(f, records([10, 50], lost=[0, 5000]), 100)
    f.open(np.array([0]), np.array([0]))
    r = records([10, 20, 30])
    np.testing.assert_array_equal(fold(f, r, 100), fold(fresh, r, 100))


def test_the_estimate_ignores_what_the_application_limited_unless_it_is_higher() -> None:
    f = folder()
    steady = fold(f, records([10, 20, 30, 90], delivered=[0, 5000, 10000, 40000]), 100)[
        0, F["bandwidth_bps"]
    ]
    low = records([110, 120, 190], delivered=[41000, 42000, 44000], app_limited=True)
    assert fold(f, low, 200)[0, F["bandwidth_bps"]] == steady
    high = records([210, 220, 290], delivered=[60000, 90000, 144000], app_limited=True)
    assert fold(f, high, 300)[0, F["bandwidth_bps"]] == pytest.approx(100_000 * 8 / 0.1)


@st.composite
def streams(draw: st.DrawFn) -> Records:
    """Two flows' records, in order of time within each flow, counters that only grow."""
    parts = []
    for slot in (0, 1):
        gaps = draw(st.lists(st.integers(1, 60), min_size=1, max_size=30))
        growth = draw(st.lists(st.integers(0, 5000), min_size=len(gaps), max_size=len(gaps)))
        losses = draw(
            st.lists(st.sampled_from([0, 0, 0, 1000]), min_size=len(gaps), max_size=len(gaps))
        )
        rtts = draw(st.lists(st.floats(20, 400), min_size=len(gaps), max_size=len(gaps)))
        parts.append(
            records(
                np.cumsum(gaps).astype(float).tolist(),
                slot=slot,
                delivered=np.cumsum(growth).tolist(),
                lost=np.cumsum(losses).tolist(),
                rtt_ms=rtts,
                rate_bps=draw(st.floats(1e4, 1e8)),
            )
        )
    return Records(
        *(
            np.concatenate(columns)
            for columns in zip(*(vars(p).values() for p in parts), strict=True)
        )
    )


def all_windows(f: WindowFolder, batches: list[tuple[Records, int]]) -> np.ndarray:
    """Fold batch by batch; each comes with its end in ms, and closes the windows that end until
    then.
    """
    rows, closed = [], 0
    for batch, end_ms in batches:
        ends = np.arange(closed + 1, end_ms // 100 + 1) * 100 * MS
        closed += len(ends)
        rows.append(f.fold(batch, np.tile([0, 1], len(ends)), np.repeat(ends, 2))[0])
    return np.concatenate(rows)


@settings(max_examples=30, deadline=None)
@given(streams(), st.lists(st.integers(0, 1900), max_size=5), st.randoms(use_true_random=False))
def test_how_records_are_batched_or_mixed_does_not_matter(
    stream: Records, cuts: list[int], random: object
) -> None:
    mixed = np.arange(len(stream))
    random.shuffle(mixed)  # type: ignore[attr-defined]
    whole = all_windows(folder(2), [(stream.only(mixed), END_MS)])
    edges = [0, *sorted(cuts), END_MS]
    parts = [
        (stream.only(np.flatnonzero((stream.at_ns >= a * MS) & (stream.at_ns < b * MS))), b)
        for a, b in pairwise(edges)
    ]
    np.testing.assert_allclose(all_windows(folder(2), parts), whole, rtol=1e-6, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(streams(), st.randoms(use_true_random=False))
def test_missing_records_lose_no_bytes(stream: Records, random: object) -> None:
    keep = np.ones(len(stream), bool)
    for slot in (0, 1):
        mine = np.flatnonzero(stream.slot == slot)
        keep[mine[1:-1]] = [random.random() < 0.5 for _ in mine[1:-1]]  # type: ignore[attr-defined]
    whole = all_windows(folder(2), [(stream, END_MS)])
    thinned = all_windows(folder(2), [(stream.only(np.flatnonzero(keep)), END_MS)])
    for name in ("acked_bytes", "lost_bytes"):
        for slot in (0, 1):
            assert whole[slot::2, F[name]].sum() == thinned[slot::2, F[name]].sum()


@settings(max_examples=30, deadline=None)
@given(streams())
def test_rows_are_finite_and_in_range(stream: Records) -> None:
    rows = all_windows(folder(2), [(stream, END_MS)])
    assert np.isfinite(rows).all()
    for name in ("loss_rate", "app_limited_share", "ecn_share"):
        assert ((rows[:, F[name]] >= 0) & (rows[:, F[name]] <= 1)).all()
    assert (rows[:, F["queueing_delay_ns"]] >= 0).all()


@given(st.lists(st.integers(0, 3), max_size=12))
def test_rounds_keep_each_slots_order_and_repeat_none(slots: list[int]) -> None:
    found = rounds(np.array(slots, np.int64))
    assert sorted(i for indices in found for i in indices.tolist()) == list(range(len(slots)))
    seen: dict[int, int] = {}
    for indices in found:
        here = [slots[i] for i in indices]
        assert len(set(here)) == len(here)
        for i in indices.tolist():
            assert seen.get(slots[i], -1) < i
            seen[slots[i]] = i
