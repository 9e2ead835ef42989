"""Traces for streaming: text as it stands, gzip, recordings, and faults in one line."""

import gzip

import pytest

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import find_bandwidths, pack, read_bandwidth, recording_of

TEXT = "0\t1.5\n5\t2.25\n12\t0\n"


def test_text_is_taken_as_it_stands_gzipped_or_not(tmp_path):
    (tmp_path / "a").write_text(TEXT.replace("\n", "\r\n"))
    (tmp_path / "b.gz").write_bytes(gzip.compress(TEXT.encode()))
    found = find_bandwidths(str(tmp_path))
    assert [one.name for one in found] == ["a", "b"]
    for one in found:
        assert one.times_s.tolist() == [0, 5, 12]
        assert one.rates_mbps.tolist() == [1.5, 2.25, 0]
        assert one.mean_mbps() == pytest.approx(2.25 * 5 / 12)
    assert pack(found).offsets.tolist() == [0, 3, 6]


def test_other_formats_are_read_in_steps(tmp_path):
    path = tmp_path / "link.json"
    path.write_text(
        '[{"duration_ms": 8000, "bandwidth_kbps": 2000, "latency_ms": 20},'
        ' {"duration_ms": 8000, "bandwidth_kbps": 1000, "latency_ms": 20}]'
    )
    assert read_bandwidth(path).mean_mbps() == pytest.approx(1.5)


def test_slices_share_a_recording():
    assert (
        recording_of("test_fcc_trace_10_http---www.a.com_60")
        == "test_fcc_trace_10_http---www.a.com"
    )
    assert recording_of("trace+AbC+/d=_12") == "trace+AbC+/d="
    assert recording_of("tracekQ8d=_3") == "tracekQ8d="
    assert recording_of("norway_bus_3") == "norway_bus_3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n3 1\n", "3 s long"),
        ("0 0\n30 0\n", "zero throughout"),
        ("0 1\n30 1\n20 1\n", "line 3 lies before"),
        ("0 1\n30 -1\n", "rates must lie"),
        ("0 1\n30 nan\n", "not a number"),
    ],
)
def test_faults_are_named_in_one_line(tmp_path, text, message):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(PolicyError, match=message) as error:
        read_bandwidth(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_damaged_gzip_and_nothing_there(tmp_path):
    path = tmp_path / "bad.gz"
    path.write_bytes(gzip.compress(TEXT.encode())[:-9])
    with pytest.raises(PolicyError, match="damaged gzip"):
        read_bandwidth(path)
    with pytest.raises(PolicyError, match="no trace there"):
        find_bandwidths(str(tmp_path / "*.none"))
