"""Each reader on a file small enough to check by hand, round trips, and every way in which a file
can be wrong.
"""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traces import Opportunities, Steps, Trace, TraceError, load, save
from traces.formats import source as source_module
from traces.library import read_trace_file

MS = 1_000_000
S = 1_000_000_000
# Files are slow on a busy machine, and every example overwrites its files.
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(tmp_path: Path, text: str | bytes, name: str = "file.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def steps_of(trace: Trace) -> tuple[list[int], list[float]]:
    assert trace.steps is not None
    return trace.steps.start_ns.tolist(), trace.steps.capacity_bps.tolist()


def test_mahimahi(tmp_path: Path) -> None:
    for path in (
        written(tmp_path, "0\n5\n5\n12\n"),
        written(tmp_path, gzip.compress(b"0\n5\n") + gzip.compress(b"5\n12\n"), "drive.down.gz"),
    ):
        trace = load(path)
        assert trace.opportunities is not None
        assert trace.opportunities.at_ns.tolist() == [0, 5 * MS, 5 * MS, 12 * MS]
        assert trace.opportunities.size_bytes.tolist() == [1500] * 4
        assert trace.period_ns == 12 * MS
    assert trace.name == "drive.down"


def test_seconds_mbit_shares_a_repeated_second(tmp_path: Path) -> None:
    # The two samples of second 11 share the second that ends there. The first sample describes what
    # is before it.
    path = written(tmp_path, "# time rate\n10 4\n11 0\n11 2.5\n\n12 8\n")
    trace = load(path)
    assert steps_of(trace) == ([0, S // 2, S], [0, 2.5e6, 8e6])
    assert trace.period_ns == 2 * S
    # Held until the next sample, the last lasts as long as the median gap.
    trace = load(path, "seconds-mbit-starts")
    assert steps_of(trace) == ([0, S, 3 * S // 2, 2 * S], [4e6, 0, 2.5e6, 8e6])
    assert trace.period_ns == 3 * S


def test_json_list_halves_the_round_trip(tmp_path: Path) -> None:
    trace = load(
        written(
            tmp_path,
            '[{"duration_ms": 840, "bandwidth_kbps": 16823, "latency_ms": 20},'
            ' {"duration_ms": 1000.5, "bandwidth_kbps": 0, "latency_ms": 30}]',
        )
    )
    assert steps_of(trace) == ([0, 840 * MS], [16.823e6, 0])
    assert trace.steps is not None
    assert trace.steps.delay_ns is not None
    assert trace.steps.delay_ns.tolist() == [10 * MS, 15 * MS]
    assert trace.period_ns == 1_840_500_000


def test_opennetlab(tmp_path: Path) -> None:
    pattern = (
        '[{"duration": 500, "capacity": 1000, "loss": 0, "rtt": 80, "jitter": 0, "time": 0.0},'
        ' {"duration": 1500, "capacity": 300, "loss": 0.2, "rtt": 80, "jitter": 0}]'
    )
    file = read_trace_file(
        written(
            tmp_path,
            f'{{"type": "video", "downlink": {{}}, "uplink": {{"trace_pattern": {pattern}}}}}',
        )
    )
    assert file.format == "opennetlab"
    assert steps_of(file.trace) == ([0, 500 * MS], [1e6, 0.3e6])
    assert file.trace.steps is not None
    assert file.trace.steps.delay_ns is not None
    assert file.trace.steps.loss is not None
    assert file.trace.steps.delay_ns.tolist() == [40 * MS] * 2
    assert file.trace.steps.loss.tolist() == [0, 0.2]
    assert "fraction" in file.notes[0]


def test_opennetlab_percentages_jitter_and_downlink(tmp_path: Path) -> None:
    element = '{"duration": 1000, "capacity": 1000, "loss": 2.5, "jitter": 3}'
    file = read_trace_file(written(tmp_path, f'{{"downlink": {{"trace_pattern": [{element}]}}}}'))
    assert file.trace.steps is not None
    assert file.trace.steps.loss is not None
    assert file.trace.steps.loss.tolist() == [0.025]
    assert len(file.notes) == 2


@pytest.mark.parametrize(
    ("text", "starts", "rates", "period"),
    [
        ("time_s,capacity_mbps\n0,12\n0.5,8\n", [0, S // 2], [12e6, 8e6], S),
        ("Duration_ms,cell,Bandwidth_kbps\n250,a,100\n750,b,200\n", [0, S // 4], [1e5, 2e5], S),
        ("timestamp_us,rate_bps\n7,5\n1000007,6\n", [0, S], [5, 6], 2 * S),
        ("# period_ns: 900000000\ntime_ms,throughput_gbps\n0,0.5\n", [0], [5e8], 900 * MS),
    ],
)
def test_csv(tmp_path: Path, text: str, starts: list[int], rates: list[float], period: int) -> None:
    trace = load(written(tmp_path, text))
    assert steps_of(trace) == (starts, rates)
    assert trace.period_ns == period


def test_csv_delay_loss_and_no_period(tmp_path: Path) -> None:
    trace = load(
        written(
            tmp_path,
            "# period_ns: none\ntime_s,capacity_mbps,rtt_ms,loss_pct\n0,1,30,5\n1,2,40,0\n",
        )
    )
    assert trace.period_ns is None
    assert trace.steps is not None
    assert trace.steps.delay_ns is not None
    assert trace.steps.loss is not None
    assert trace.steps.delay_ns.tolist() == [15 * MS, 20 * MS]
    assert trace.steps.loss.tolist() == [0.05, 0]


@pytest.mark.parametrize(
    ("content", "format", "message"),
    [
        ("", None, "is empty"),
        (b"\x00\xff\xfe\x93garbage", None, "not text"),
        ("12\0\n", None, "not text"),
        (gzip.compress(b"1\n2\n3\n" * 1000, mtime=0)[:40], None, "ends too early"),
        (b"\x1f\x8b\xff" + b"\xff" * 20, None, "damaged"),
        ("hello world, this\n", None, "columns"),
        ("what is this?\n", None, "no known trace format"),
        ("5\n3\n", None, "line 2: 3 ms comes after 5 ms"),
        ("5\n\n-3\n", None, "line 3: '-3' is not a whole number"),
        ("5\n6.5\n", None, "line 2"),
        ("5\nnan\n", None, "line 2"),
        ("0\n0\n", None, "period"),
        ("1\n99999999999999\n", None, "line 2: .* more than 100 days"),
        ("# only a comment\n", "mahimahi", "no delivery opportunity"),
        ("0 5\n1 -2\n", None, "line 2: the rate .* is '-2'; it must lie between 0"),
        ("0 5\n1 nan\n", None, "line 2: the rate .* is 'nan'"),
        ("0 5\n1 1e99\n", None, "line 2: the rate .* check the unit"),
        ("0 5\n1 5 6\n", None, "line 2: .*not of the form"),
        ("0 5\n1 1_0\n", None, "line 2: .*a number is needed"),
        ("3 5\n1 5\n", None, "line 2: its time is before"),
        ("0 0\n1 0\n", None, "zero throughout"),
        ("[]", None, "is empty"),
        ("[1]", None, "element 0: is not an object"),
        ("[[", None, "line 1, column 3: not valid JSON"),
        ("[" * 100_000, None, "nested too deeply"),
        ('[{"duration_ms": 5}]', None, "element 0: bandwidth_kbps is missing"),
        ('[{"duration_ms": 0, "bandwidth_kbps": 5}]', None, "element 0: duration_ms is 0"),
        ('[{"duration_ms": true, "bandwidth_kbps": 5}]', None, "element 0: duration_ms is True"),
        ('[{"duration_ms": 5, "bandwidth_kbps": null}]', None, "element 0: bandwidth_kbps is None"),
        ('[{"duration_ms": 5, "bandwidth_kbps": NaN}]', None, "element 0: bandwidth_kbps is nan"),
        (
            '[{"duration_ms": 5, "bandwidth_kbps": 1' + "0" * 400 + "}]",
            None,
            "element 0: bandwidth_kbps",
        ),
        ('[{"duration_ms": 5, "bandwidth_kbps": 1' + "0" * 5000 + "}]", None, "number too long"),
        ('{"uplink": {"trace_pattern": []}}', None, "no uplink.trace_pattern"),
        ('{"uplink": {"trace_pattern": {"a": 1}}}', None, "trace_pattern is not a list"),
        (
            '{"uplink": {"trace_pattern": [{"duration": 5, "capacity": -1}]}}',
            None,
            "element 0: capacity is -1",
        ),
        ("{}", "json", "not a list"),
        ("time_s,capacity\n0,5\n", None, "line 1: the columns time_s, capacity are no trace"),
        ("time_s,capacity_mbps\n", None, "no row"),
        ("time_s,capacity_mbps\n0\n", None, "line 2: has 1 fields, the header has 2"),
        ("time_s,capacity_mbps\n0,x\n", None, "line 2: capacity_mbps is 'x'"),
        ("time_s,capacity_mbps\n0,1\n1,2\n0.5,1\n", None, "line 4: its time is before"),
        ("time_s,capacity_mbps,rate_bps\n0,1,2\n", None, "a second time"),
        ("duration_s,capacity_mbps\n0,1\n", None, "line 2: its duration is 0"),
        ("at_ns,size_bytes\n5,1\n4,1\n", None, "line 3: its time is before"),
        ("# period_ns: 3\nat_ns,size_bytes\n5,1\n", None, "period"),
    ],
)
def test_bad_files_are_named_with_their_place(
    tmp_path: Path, content: str | bytes, format: str | None, message: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(TraceError, match=message) as caught:
        load(path, format)
    assert str(caught.value).startswith(str(path))


@given(
    st.binary(max_size=300),
    st.sampled_from([None, "mahimahi", "seconds-mbit", "json", "opennetlab", "csv"]),
)
@RELAXED
def test_garbage_never_escapes_as_another_error(
    tmp_path: Path, content: bytes, format: str | None
) -> None:
    path = written(tmp_path, content)
    with contextlib.suppress(TraceError):
        load(path, format)


def test_size_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "MAX_BYTES", 1000)
    for path in (
        written(tmp_path, "1\n" * 600),
        written(tmp_path, gzip.compress(b"1\n" * 600), "bomb.gz"),
    ):
        with pytest.raises(TraceError, match="larger than"):
            load(path)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
@RELAXED
def test_mahimahi_comes_back_line_by_line(tmp_path: Path, gaps: list[int]) -> None:
    times = np.cumsum([*gaps, 1])
    text = "".join(f"{time}\n" for time in times)
    for suffix in (".mahimahi", ".mahimahi.gz"):
        copy = tmp_path / f"copy{suffix}"
        save(load(written(tmp_path, text)), copy)
        raw = copy.read_bytes()
        assert (gzip.decompress(raw) if suffix.endswith("gz") else raw).decode() == text


RATES = st.one_of(st.just(0.0), st.floats(1.0, 1e10))


@st.composite
def step_traces(draw: st.DrawFn, with_loss: bool = True) -> Trace:
    gaps = draw(st.lists(st.integers(1, 10**10), min_size=1, max_size=12))
    starts = np.concatenate(([0], np.cumsum(gaps)[:-1]))
    rates = draw(st.lists(RATES, min_size=len(gaps), max_size=len(gaps)))
    rates[0] = max(rates[0], 1.0)
    delays = draw(st.one_of(st.none(), st.just(np.arange(len(gaps)) * 1_234_567)))
    loss = draw(
        st.one_of(st.none(), st.just(np.linspace(0, 1, len(gaps)))) if with_loss else st.none()
    )
    repeats = draw(st.booleans()) if with_loss else True
    rates[-1] = max(rates[-1], 1.0)
    return Trace(
        "file", int(sum(gaps)) if repeats else None, Steps(starts, np.array(rates), delays, loss)
    )


def assert_same(one: Trace, other: Trace, rel: float = 0.0) -> None:
    assert one.period_ns == other.period_ns
    for form in ("steps", "opportunities"):
        mine, theirs = getattr(one, form), getattr(other, form)
        assert (mine is None) == (theirs is None)
        if mine is None:
            continue
        for name, column in vars(mine).items():
            other_column = getattr(theirs, name)
            if column is None:
                assert other_column is None
            else:
                np.testing.assert_allclose(column, other_column, rtol=rel, atol=0)


@given(step_traces())
@RELAXED
def test_csv_and_parquet_are_lossless(tmp_path: Path, trace: Trace) -> None:
    for name in ("file.csv", "file.parquet"):
        save(trace, tmp_path / name)
        assert_same(load(tmp_path / name), trace)


@pytest.mark.parametrize("period_ns", [None, 7 * MS, 8 * MS])
def test_opportunities_in_csv_and_parquet_are_lossless(
    tmp_path: Path, period_ns: int | None
) -> None:
    trace = Trace(
        "t",
        period_ns,
        opportunities=Opportunities(np.array([0, 1, 1, 7 * MS]), np.array([1, 2, 3, 1500])),
    )
    for name in ("file.csv", "file.parquet"):
        save(trace, tmp_path / name)
        assert_same(load(tmp_path / name), trace)


@given(step_traces(with_loss=False))
@RELAXED
def test_json_keeps_steps_and_delay(tmp_path: Path, trace: Trace) -> None:
    save(trace, tmp_path / "file.json")
    back = load(tmp_path / "file.json")
    assert trace.steps is not None
    # A column of zeros is no column.
    if trace.steps.delay_ns is not None and not trace.steps.delay_ns.any():
        trace = Trace(
            "file", trace.period_ns, Steps(trace.steps.start_ns, trace.steps.capacity_bps)
        )
    assert_same(back, trace, rel=1e-12)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
@RELAXED
def test_rates_as_mahimahi_stay_within_one_and_a_half_packets(
    tmp_path: Path, megabits: list[int]
) -> None:
    rates = np.array([*megabits, 12.0]) * 1e6
    starts = np.arange(len(rates)) * 50 * MS
    trace = Trace("t", len(rates) * 50 * MS, Steps(starts, rates))
    save(trace, tmp_path / "file.mahimahi")
    back = load(tmp_path / "file.mahimahi")
    assert back.period_ns == trace.period_ns
    edges = np.arange(1, len(rates) * 50) * MS
    # A packet leaves when its last byte may; the whole number of packets adds up to half a packet.
    late = trace.capacity_bytes(0, edges) - back.capacity_bytes(0, edges + 1)
    assert late.min() >= -2251
    assert late.max() <= 2251


@pytest.mark.parametrize(
    ("trace", "name", "message"),
    [
        (Trace("t", None, Steps(np.array([0]), np.array([1e6]))), "x.mahimahi", "does not repeat"),
        (Trace("t", None, Steps(np.array([0]), np.array([1e6]))), "x.json", "does not repeat"),
        (
            Trace("t", S, opportunities=Opportunities(np.array([5]), np.array([1500]))),
            "x.json",
            "--bin 100ms",
        ),
        (
            Trace("t", S, Steps(np.array([0]), np.array([1e6]), loss=np.array([0.1]))),
            "x.json",
            "no place for loss",
        ),
        (Trace("t", S, Steps(np.array([0]), np.array([1e6]))), "x.txt", "suffix names no format"),
        (Trace("t", S, Steps(np.array([0]), np.array([1e6]))), "no/x.csv", "there is no folder"),
    ],
)
def test_what_cannot_be_written_says_why(
    tmp_path: Path, trace: Trace, name: str, message: str
) -> None:
    with pytest.raises(TraceError, match=message):
        save(trace, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_read_only_formats(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="only read"):
        save(Trace("t", S, Steps(np.array([0]), np.array([1e6]))), tmp_path / "x.txt", "opennetlab")
