"""A hand-made cell in the formats of other tools."""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

import tbtest
from analysis.errors import AnalysisError
from analysis.export import FORMATS, export
from analysis.export.pcapng import _headers
from tests.analysis.synthetic import MS, START_NS, TCPINFO, SyntheticCell, packet, row, write_run

PACKETS = [packet(0, 10), packet(5, 20), packet(8, verdict=1), packet(12, 10, verdict=3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    info = [row(TCPINFO, at_ns=START_NS + 20 * MS, srtt_ns=50 * MS, bytes_sent=3000)]
    cells = [
        SyntheticCell(cc=cc, logs={"packets": PACKETS, "goodput": [], "tcpinfo": info})
        for cc in ("bbr", "cubic")
    ]
    return write_run(tmp_path / "run", cells)


def test_perfetto(folder: Path, tmp_path: Path) -> None:
    first, _ = export(folder, "perfetto", tmp_path / "out")
    assert first.name == "000-bbr-r0.perfetto.json"
    events = json.loads(first.read_text())["traceEvents"]
    instants = {event["name"]: event["ts"] for event in events if event["ph"] == "i"}
    assert instants == {"tail drop": 8_000, "random loss": 12_000}
    delays = [event for event in events if event["name"] == "queueing delay"]
    assert [(event["ts"], event["args"]["ms"]) for event in delays] == [
        (10_000, 10.0),
        (20_000, 20.0),
    ]
    rates = [event["args"]["Mbit/s"] for event in events if event["name"] == "rate"]
    assert rates == [pytest.approx(1.2)] * 2  # 1500 bytes in 10 ms
    rtts = [event["args"]["ms"] for event in events if event["name"] == "smoothed RTT"]
    assert rtts == [50.0]
    assert {event["pid"] for event in events} == {0, 100_000}


def test_qlog(folder: Path, tmp_path: Path) -> None:
    (only,) = export(folder, "qlog", tmp_path / "out", "001-cubic-r0")
    (trace,) = json.loads(only.read_text())["traces"]
    told = [(event["time"], event["name"].partition(":")[2]) for event in trace["events"]]
    assert told == [
        (0, "packet_sent"),
        (5, "packet_sent"),
        (8, "packet_sent"),
        (8, "packet_lost"),
        (12, "packet_sent"),
        (12, "packet_lost"),
        (20, "metrics_updated"),
        (30, "packet_received"),
        (45, "packet_received"),
    ]
    lost = [event["data"] for event in trace["events"] if event["name"] == "recovery:packet_lost"]
    assert [data["trigger"] for data in lost] == ["tail drop", "random"]


def test_csv(folder: Path, tmp_path: Path) -> None:
    first, _ = export(folder, "csv", tmp_path / "out")
    with (first / "packets.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(PACKETS)
    assert int(rows[1]["enqueue_ns"]) == START_NS + 5 * MS
    assert rows[2]["deliver_ns"] == ""


def test_pcapng_needs_addresses(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"its packet log lacks .*source.*; run again"):
        export(folder, "pcapng", tmp_path / "out")


def test_headers_are_what_the_log_says() -> None:
    common = {"ecn": 3, "source": 0x0A000001, "destination": 0x0A000102, "source_port": 40000}
    common |= {"destination_port": 5000, "marked": True}
    raw = _headers(
        {**common, "protocol": 6, "size_bytes": 1500, "payload_bytes": 1448}, 4, marked=True
    )
    packet = IP(raw)
    assert (packet.src, packet.dst, packet.len, packet.tos) == ("10.0.0.1", "10.0.1.2", 1500, 3)
    assert (packet[TCP].sport, packet[TCP].dport, packet[TCP].dataofs) == (40000, 5000, 8)
    datagram = {**common, "protocol": 17, "size_bytes": 128, "payload_bytes": 100}
    packet = IP(_headers(datagram, 4, marked=False))
    assert packet.tos == 2
    assert (packet[UDP].dport, packet[UDP].len) == (5000, 108)


def test_headers_of_ipv6_have_whole_addresses() -> None:
    common = {"ecn": 3, "source": 0x0A000001, "destination": 0x0A000102, "source_port": 40000}
    common |= {"destination_port": 5000, "marked": True}
    raw = _headers(
        {**common, "protocol": 6, "size_bytes": 1500, "payload_bytes": 1428}, 6, marked=True
    )
    packet = IPv6(raw)
    assert (packet.src, packet.dst) == (
        "fd74:6274:6573:7400::a00:1",
        "fd74:6274:6573:7400::a00:102",
    )
    assert (packet.plen, packet.tc, packet.nh) == (1460, 3, 6)
    assert (packet[TCP].sport, packet[TCP].dport, packet[TCP].dataofs) == (40000, 5000, 8)
    datagram = {**common, "protocol": 17, "size_bytes": 148, "payload_bytes": 100}
    packet = IPv6(_headers(datagram, 6, marked=False))
    assert packet.tc == 2
    assert (packet[UDP].dport, packet[UDP].len) == (5000, 108)


def with_addresses(run: Path) -> Path:
    """The run, whose first cell's packet log has the columns that synthetic ones lack."""
    path = next((run / "cells").glob("*bbr*")) / "packets.parquet"
    table = pq.read_table(path)
    for name, value in (
        ("ecn", 0),
        ("marked", False),
        ("protocol", 17),
        ("source", 1),
        ("destination", 2),
        ("source_port", 3),
        ("destination_port", 4),
        ("payload_bytes", 1472),
    ):
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value] * len(table)))
    pq.write_table(table, path)
    return run


@pytest.mark.parametrize(("version", "link_type"), [(4, 228), (6, 229)])
def test_the_interfaces_of_pcapng_say_which_ip(
    tmp_path: Path, version: int, link_type: int
) -> None:
    cell = SyntheticCell(cc="bbr", logs={"packets": PACKETS, "goodput": []})
    run = with_addresses(write_run(tmp_path / "run", [cell], scenario={"ip": version}))
    (file,) = export(run, "pcapng", tmp_path / "out")
    data = file.read_bytes()
    (head,) = struct.unpack_from("<I", data, 4)
    assert struct.unpack_from("<IIH", data, head)[::2] == (1, link_type)


def test_blocks_of_pcapng_have_their_lengths(folder: Path, tmp_path: Path) -> None:
    """Through the whole file: every block begins and ends with the same length."""
    (file,) = export(with_addresses(folder), "pcapng", tmp_path / "out", "000-bbr-r0")
    data, at, kinds, comments = file.read_bytes(), 0, [], 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0
        assert struct.unpack_from("<I", data, at + length - 4)[0] == length
        kinds.append(kind)
        comments += b"tail drop" in data[at : at + length]
        at += length
    assert kinds[0] == 0x0A0D0D0A
    assert kinds.count(6) == 4 + 2  # all arrive, two are delivered
    assert comments == 1


def test_frames_are_typed_and_of_all_cells(folder: Path) -> None:
    frame = tbtest.load_run(folder).frame("packets")
    assert list(frame.columns[:3]) == ["cell", "cc", "repeat"]
    assert frame["cc"].value_counts().to_dict() == {"bbr": 4, "cubic": 4}
    assert str(frame["deliver_ns"].dtype) == "Int64"
    assert frame["deliver_ns"].isna().sum() == 4
    assert frame["enqueue_s"].tolist()[:2] == [0.0, 0.005]
    info = tbtest.load_run(folder).frame("tcpinfo")
    assert "at_s" in info
    assert "srtt_s" not in info  # a duration, not a moment
    with pytest.raises(AnalysisError, match="no cell has a log 'frame'; there are: goodput"):
        tbtest.load_run(folder).frame("frame")


def test_a_cell_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    assert len(FORMATS) == 4
    with pytest.raises(AnalysisError, match="no finished cell of that name; there are: 000-bbr-r0"):
        export(folder, "csv", tmp_path / "out", "bbr")
