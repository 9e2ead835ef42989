"""The formats of published sets and other tools, each on a file small enough to check by hand."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces import Steps, Trace, TraceError, constant, load, read_parquet, save, write_parquet
from traces.formats.source import Source
from traces.formats.units import parse_date_s, parse_rate_bps, parse_time_ns, rate_unit_bps
from traces.library import TraceFile, read_samples, read_trace_file
from traces.traps import suspicions

S = 1_000_000_000
UCC = "Timestamp,Longitude,Speed,DL_bitrate,UL_bitrate,State\n"
LUMOS = "run_num,seq_num,nrStatus,Throughput,mobility_mode\n"
NETEM = (
    '{"RepeatedBwPatternConfig": {"pattern": ['
    '{"StaticBwConfig": {"bw": "12Mbps", "duration": "1s"}},'
    '{"RepeatedBwPatternConfig": {"count": 2, "pattern": ['
    '{"StaticBwConfig": {"bw": {"gbps": 0, "bps": 3000000}, '
    '"duration": {"secs": 0, "nanos": 500000000}}},'
    '{"TraceBwConfig": {"pattern": [["250ms", ["4Mbps", "1MBps"]]]}}]}}], "count": 0}}'
)
CASES = [
    (
        "hsdpa-log",
        "1290000000 7 59.9 -10.7 20000 1000\n1290000001 1507 59.9 10.7 30000 1500\n",
        [0.16, 0.16],
        2.5,
    ),
    (
        "hsdpa-log",
        "1448000000000 7 51.0 3.7 2500000 1000\n1448000001000 1007 51 3.7 0 1000\n",
        [20, 0],
        2,
    ),
    (
        "ucc",
        UCC + "2019.12.14_10.16.30,-8.4,1,12000,5,D\n2019.12.14_10.16.32,-8.4,1,500,5,I\n",
        [12, 0.5],
        4,
    ),
    (
        "lumos5g",
        LUMOS + "4,0,CONNECTED,100,walking\n4,1,CONNECTED,50,walking\n5,0,CONNECTED,7,walking\n",
        [100, 50],
        2,
    ),
    (
        "csv",
        "time,throughput_mbps,cwnd_kb\n2030-01-01T00:00:00.5,16,3\n2030-01-01T00:00:01.0,8,3\n",
        [16, 8],
        1,
    ),
    ("csv", "time_s;capacity_mbps\n0;12,5\n1;8,25\n", [12.5, 8.25], 2),
    ("csv", "time_s\tcapacity_mbps\n0\t12.5\n1\t8\n", [12.5, 8], 2),
    ("csv", "time_s,throughput_MBps\n0,1.5\n1,1\n", [12, 8], 2),
    ("csv", "timestamp_ms,throughput_kbps\n1600000000000,1000\n1600000001000,2000\n", [1, 2], 2),
    ("seconds-mbit", "0.0,4.0\n1.0,2.0\n3.0,5\n", [2, 5], 3),
    ("seconds-mbit", "1645142400.25 2\n1645142401.35 3\n1645142402.35 4\n", [3, 4], 2.1),
    (
        "tc-profile",
        "rate 1418kbit\ndelay 50ms\nloss 0.08%\nwait 1s\nrate 700kbit\nwait 2s\n",
        [1.418, 0.7],
        3,
    ),
    ("netem-trace", NETEM, [12, 3, 4, 8, 3, 4, 8], 3),
    (
        "genet",
        '{"timestamps": [0, 0.5, 1], "bandwidths": [1, 2, 3], "loss": 0.1, "delays": '
        '[25, 25, 30], "queue": 5}',
        [1, 2, 3],
        1.5,
    ),
]


def written(tmp_path: Path, text: str, name: str = "file.txt") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(("format", "text", "rates_mbps", "seconds"), CASES)
def test_each_is_known_by_its_content(
    tmp_path: Path, format: str, text: str, rates_mbps: list[float], seconds: float
) -> None:
    file = read_trace_file(written(tmp_path, text))
    assert file.format == format
    assert file.trace.steps is not None
    assert file.trace.steps.capacity_bps / 1e6 == pytest.approx(np.array(rates_mbps))
    assert file.trace.period_ns == seconds * S


def test_delay_and_loss_are_read(tmp_path: Path) -> None:
    genet = load(written(tmp_path, CASES[-1][1])).steps
    assert genet is not None
    assert genet.delay_ns is not None and genet.loss is not None  # noqa: PT018
    assert genet.delay_ns.tolist() == [25_000_000, 25_000_000, 30_000_000]
    assert genet.loss.tolist() == [0.1] * 3
    trace = load(
        written(
            tmp_path,
            '{"eth0": {"outgoing": {"dst-network=10.1.1.0/24, protocol=ip": '
            '{"delay": "5.0ms", "rate": "250Kbps", "loss": "1%"}}, "incoming": {}}}',
        )
    )
    assert trace.period_ns is None
    assert trace.steps is not None
    assert trace.steps.capacity_bps.tolist() == [250e3]
    assert trace.steps.delay_ns is not None and trace.steps.loss is not None  # noqa: PT018
    assert trace.steps.delay_ns.tolist() == [5_000_000]
    assert trace.steps.loss.tolist() == [0.01]


def test_opennetlab_keeps_the_last_value(tmp_path: Path) -> None:
    rows = (
        '{"duration": 500, "capacity": 1000, "loss": 0.2, "rtt": 80}, {"duration": 500},'
        ' {"duration": 500, "capacity": 300, "rtt": 0}'
    )
    steps = load(written(tmp_path, f'{{"uplink": {{"trace_pattern": [{rows}]}}}}')).steps
    assert steps is not None
    assert steps.capacity_bps.tolist() == [1e6, 1e6, 0.3e6]
    assert steps.delay_ns is not None and steps.loss is not None  # noqa: PT018
    assert steps.delay_ns.tolist() == [40_000_000, 40_000_000, 0]
    assert steps.loss.tolist() == [0.2] * 3
    with pytest.raises(TraceError, match="element 0: capacity is missing"):
        load(written(tmp_path, '{"uplink": {"trace_pattern": [{"duration": 5}]}}'))


def test_irregular_times_are_warned_of(tmp_path: Path) -> None:
    # (0, 10] at 1 Mbit/s and (10, 11] at 12 are 2 on average.
    # Held until the next sample: 5 for 10 s, 1 for 1 s, 12 for 5.5 s, the median step.
    path = written(tmp_path, "0 5\n10 1\n11 12\n")
    file = read_trace_file(path)
    assert file.trace.mean_bps() == pytest.approx(2e6)
    assert "mean 2.000 Mbit/s" in file.notes[0]
    assert "(seconds-mbit-starts) it is 7.091" in file.notes[0]
    held = read_trace_file(path, "seconds-mbit-starts")
    assert held.trace.mean_bps() == pytest.approx((50 + 1 + 12 * 5.5) / 16.5 * 1e6)
    regular = written(tmp_path, "0 5\n1 1\n2 12\n", "regular.txt")
    assert read_trace_file(regular).notes == []
    times_s, rates_mbps = read_samples(path)
    assert times_s.tolist() == [0, 10, 11]
    assert rates_mbps.tolist() == [5, 1, 12]


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 100)), min_size=2, max_size=30),
    st.integers(0, 2_000_000_000),
)
def test_samples_carry_what_pensieve_counts(rows: list[tuple[int, int]], begin_s: int) -> None:
    from traces.formats.seconds_mbit import SecondsMbit

    rows = [(1000, 1), *rows, (1000, 3)]
    at_ms = np.cumsum([gap for gap, _ in rows])
    text = "".join(
        f"{begin_s + at / 1e3:.3f} {rate}\n" for at, (_, rate) in zip(at_ms, rows, strict=True)
    )
    trace = SecondsMbit("ends").read(Source("x", text), "x")
    assert trace.total_bytes * 8 == pytest.approx(sum(gap * rate * 1e3 for gap, rate in rows[1:]))
    assert trace.period_ns == (at_ms[-1] - at_ms[0]) * 1_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.0\n1.5\n", "looks like Mahimahi with fractions"),
        ("since,relative_seconds,rtt\n2024-01-01,0,40\n", "looks like a log of round trips"),
        ("time,rate_mbps\nnoon,3\n", "line 2: time is 'noon'; give the column a unit"),
        ("rate 5\nwait 1s\n", "line 1: '5' is no rate"),
        ("wait 1s\n", "line 1: no rate is set"),
        ('{"SawtoothBwConfig": {}}', "SawtoothBwConfig is not read"),
        ('{"TraceBwConfig": {"pattern": [5]}}', "needs a pattern of"),
        (
            '{"RepeatedBwPatternConfig": {"pattern": [{"RepeatedBwPatternConfig": '
            '{"pattern": []}}]}}',
            "for ever within",
        ),
        ('{"timestamps": [0, 1], "bandwidths": [1]}', "bandwidths has 1 values"),
        (
            '{"eth0": {"outgoing": {"a": {"rate": "5Kbps"}, "b": {"rate": "5Kbps"}}}}',
            "2 rules have a rate",
        ),
        (UCC + "yesterday,1,1,1,1,D\n", "Timestamp is 'yesterday'"),
        ("1290000000 7 59.9 10.7 20000\n1 2\n", "no known trace format"),
        ("0 5\n1e8 5\n", "describes 1.16e"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        load(written(tmp_path, text))


def test_milliseconds_and_kbits_are_suspected(tmp_path: Path) -> None:
    path = written(tmp_path, "".join(f"{15 + 480 * i}.0 {3000 + i}.5\n" for i in range(30)))
    file = read_trace_file(path)
    assert any("--time-scale 0.001 --unit-scale 0.001" in each for each in suspicions(file))
    mended = file.trace.stretched(1e-3).scaled(1e-3)
    assert mended.duration_ns == round(29 * 0.48 * S)
    assert not list(suspicions(TraceFile(mended, path, "seconds-mbit")))


def test_from_a_pipe(tmp_path: Path) -> None:
    save(constant(5e6), tmp_path / "x.parquet")
    for raw, rate in ((b"0 1\n1 2\n", 2e6), ((tmp_path / "x.parquet").read_bytes(), 5e6)):
        reading, writing = os.pipe()
        thread = threading.Thread(target=lambda w=writing, r=raw: (os.write(w, r), os.close(w)))
        thread.start()
        file = read_trace_file(f"/dev/fd/{reading}")
        thread.join()
        os.close(reading)
        assert file.trace.mean_bps() == rate
        assert len(file.sha256) == 64


@pytest.mark.parametrize("name", ["../../evil", "a/b", "x" * 300, "", None, 5, ".hidden", "a\nb"])
def test_names_in_files_never_become_paths(tmp_path: Path, name: object) -> None:
    trace = constant(5e6)
    object.__setattr__(trace, "name", name)
    write_parquet(trace, tmp_path / "x.parquet")
    with pytest.raises(TraceError, match="cannot be a trace's name") as caught:
        read_parquet(tmp_path / "x.parquet")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_conversions_are_bounded(tmp_path: Path) -> None:
    huge = Trace("huge", 3_000_000 * S, Steps(np.array([0]), np.array([1e12])))
    with pytest.raises(TraceError, match="packets, more than the 20,000,000"):
        save(huge, tmp_path / "x.mahimahi")
    assert not (tmp_path / "x.mahimahi").exists()


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        ("mbps", 1e6),
        ("Mbps", 1e6),
        ("MBps", 8e6),
        ("MB/s", 8e6),
        ("KBps", 8e3),
        ("Kbps", 1e3),
        ("MBPS", 1e6),
        ("kbit", 1e3),
        ("bps", 1.0),
        ("Bps", 8.0),
        ("kb", None),
        ("parsec", None),
        ("", None),
    ],
)
def test_units_of_rates(unit: str, scale: float | None) -> None:
    assert rate_unit_bps(unit) == scale


def test_quantities_of_other_tools() -> None:
    assert parse_rate_bps("1418kbit") == 1_418_000
    assert parse_rate_bps("12") is None
    assert parse_time_ns("1s 500ms") == 1.5e9
    assert parse_time_ns("1 parsec") is None
    assert parse_date_s("1970-01-01T01:00:00+01:00") == 0
    assert parse_date_s("1970.01.02_00.00.00") == 86400
    assert parse_date_s("soon") is None
