"""Record logs, TCP_INFO, and the joining of logs."""

from __future__ import annotations

import math
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic import tcpinfo
from testbed.traffic.collect import merge_logs
from testbed.traffic.records import NULL, RecordLog
from testbed.traffic.video.logs import late_captures, merge_frames

# getsockopt(TCP_INFO) of a bulk sender under bbr over the loopback interface, Linux 6.18.
RECORDED = bytes.fromhex(
    "0100000000079900e01c030000000000cbff000018020000020000000000000000000000000000000000000000000000"
    "000000005c02000000000000ffff0000aaaa0000550800001b000000080000000e000000cbff00000300000000000000"
    "aaaa0000000000003910280900000000ffffffffffffffffe885ef0000000000000000000000000062010000b0000000"
    "19723c00040000000000000060010000d9972d07000000006037090000000000603d0800000000000000000000000000"
    "5f01000000000000e78df0000000000000000000000000000000000000000000000000000008010000ac000000000000"
    "00000000000000000000000000000000"
)
# Offsets and sizes of the members in struct tcp_info (linux/tcp.h).
OFFSETS = {
    "rto_us": (8, 4),
    "mss_bytes": (16, 4),
    "lost": (32, 4),
    "srtt_us": (68, 4),
    "cwnd": (80, 4),
    "total_retrans": (100, 4),
    "pacing_rate": (104, 8),
    "bytes_acked": (120, 8),
    "segs_out": (136, 4),
    "notsent_bytes": (144, 4),
    "min_rtt_us": (148, 4),
    "delivery_rate": (160, 8),
    "delivered": (192, 4),
    "bytes_sent": (200, 8),
    "bytes_retrans": (208, 8),
}


def test_records_become_a_table(tmp_path: Path) -> None:
    columns = {"flow": "i", "at_ns": "q", "rate_bps": "d", "limited": "?", "sent_ns": "q"}
    log = RecordLog(tmp_path / "log.parquet", columns, nullable=("rate_bps", "sent_ns"))
    log.append(3, 2**62, 1.5, True, NULL)
    log.append(999, NULL, math.nan, False, 7)
    assert not (tmp_path / "log.parquet").exists()  # whole or not at all
    log.write_parquet()
    table = pq.read_table(tmp_path / "log.parquet")
    assert table.schema.field("flow").type == pa.int16()
    assert table.to_pylist() == [
        {"flow": 3, "at_ns": 2**62, "rate_bps": 1.5, "limited": True, "sent_ns": None},
        {"flow": 999, "at_ns": -1, "rate_bps": None, "limited": False, "sent_ns": 7},
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


def test_an_empty_log_has_its_columns(tmp_path: Path) -> None:
    log = RecordLog(tmp_path / "log.parquet", {"flow": "i", "at_ns": "q"})
    log.write_parquet()
    table = pq.read_table(tmp_path / "log.parquet")
    assert (table.num_rows, table.column_names) == (0, ["flow", "at_ns"])


@given(st.binary(max_size=215))
def test_an_old_kernels_tcp_info_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"TCP_INFO has \d+ bytes, 216 are needed"):
        tcpinfo.parse(raw)


def test_recorded_tcp_info() -> None:
    info = tcpinfo.parse(RECORDED)
    assert info == tcpinfo.TcpInfo(
        srtt_ns=2_133_000,
        min_rtt_ns=4_000,
        cwnd_packets=14,
        pacing_rate_bps=8 * 153_620_537,
        delivery_rate_bps=8 * 120_428_505,
        app_limited=False,
        bytes_sent=15_764_967,
        bytes_retrans=0,
        bytes_acked=15_697_384,
        notsent_bytes=3_961_369,
        segs_out=354,
        total_retrans=0,
        lost=0,
        delivered=351,
        mss_bytes=65_483,
        rto_ns=204_000_000,
    )
    assert info.bytes_acked < info.bytes_sent


@given(
    st.lists(st.integers(1, 2**31), min_size=len(OFFSETS), max_size=len(OFFSETS)),
    st.integers(0, 255),
)
def test_every_member_is_read_from_its_place(values: list[int], flags: int) -> None:
    raw = bytearray(256)
    raw[7] = flags
    expected = dict(zip(OFFSETS, values, strict=True))
    for name, (offset, size) in OFFSETS.items():
        raw[offset : offset + size] = expected[name].to_bytes(size, "little")
    info = tcpinfo.parse(bytes(raw))
    assert info.app_limited is bool(
        flags & 1
    )  # tcpi_delivery_rate_app_limited, the lowest bit of the byte
    assert (info.srtt_ns, info.min_rtt_ns) == (
        1000 * expected["srtt_us"],
        1000 * expected["min_rtt_us"],
    )
    assert info.rto_ns == 1000 * expected["rto_us"]
    rates = (info.pacing_rate_bps, info.delivery_rate_bps)
    assert rates == (8 * expected["pacing_rate"], 8 * expected["delivery_rate"])
    assert info.cwnd_packets == expected["cwnd"]
    for name in OFFSETS.keys() & vars(info).keys():
        assert getattr(info, name) == expected[name], name


def test_unlimited_and_unknown_values() -> None:
    raw = bytearray(256)
    raw[104:112] = b"\xff" * 8  # pacing rate: unlimited
    raw[148:152] = b"\xff" * 4  # min_rtt: none yet
    info = tcpinfo.parse(bytes(raw))
    assert math.isnan(info.pacing_rate_bps)
    assert math.isnan(info.delivery_rate_bps)
    assert info.min_rtt_ns == 0


def test_tcp_info_of_a_live_socket() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"x" * 5000)
            received = 0
            while received < 5000:
                received += len(accepted.recv(5000))
            accepted.sendall(b"y")
            assert client.recv(1) == b"y"
            info = tcpinfo.read(client)
    assert info.bytes_sent == 5000
    assert info.bytes_acked in (5000, 5001)  # the SYN counts on some kernels
    assert info.bytes_retrans == info.total_retrans == info.lost == info.notsent_bytes == 0
    assert info.cwnd_packets >= 10
    assert 0 < info.min_rtt_ns < 10**9
    assert 0 < info.srtt_ns < 10**9


def write(path: Path, **columns: list) -> None:
    pq.write_table(pa.table(columns), path)


def test_logs_of_flows_become_one_in_order_of_flow(tmp_path: Path) -> None:
    write(tmp_path / "goodput-10.parquet", flow=[10], at_ns=[1])
    write(tmp_path / "goodput-2.parquet", flow=[2, 2], at_ns=[5, 6])
    write(tmp_path / "tcpinfo-2.parquet", flow=[2], at_ns=[7])
    (tmp_path / "frames-sender-2.parquet").write_bytes(b"another's")
    merge_logs(tmp_path)
    assert pq.read_table(tmp_path / "goodput.parquet").to_pydict() == {
        "flow": [2, 2, 10],
        "at_ns": [5, 6, 1],
    }
    assert pq.read_table(tmp_path / "tcpinfo.parquet").num_rows == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["frames-sender-2.parquet", "goodput.parquet", "tcpinfo.parquet"]


def test_frames_of_both_ends_are_joined(tmp_path: Path) -> None:
    write(
        tmp_path / "frames-sender-4.parquet",
        flow=[4] * 3,
        frame=[2, 0, 1],  # skipped ones are logged early
        keyframe=[False, True, False],
        captured_ns=[20, 0, 10],
        size_bytes=[100, 400, 100],
        target_bps=[1e6] * 3,
        sent_ns=[None, 1, 11],
        capture_late_ns=[0, 3, 4],
    )
    write(tmp_path / "frames-receiver-4.parquet", frame=[0], completed_ns=[5], displayed_ns=[100])
    merge_frames(tmp_path, 4)
    table = pq.read_table(tmp_path / "frames-4.parquet")
    assert table["frame"].to_pylist() == [0, 1, 2]
    assert table["sent_ns"].to_pylist() == [1, 11, None]
    assert table["completed_ns"].to_pylist() == [5, None, None]
    assert table["displayed_ns"].to_pylist() == [100, None, None]
    assert table["capture_late_ns"].to_pylist() == [3, 4, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["frames-4.parquet"]


@pytest.mark.parametrize(
    ("late_ms", "doubted"),
    [
        ([], False),
        ([0.2] * 300, False),
        ([0.2] * 299 + [190], False),  # one frame, and by less than 200 ms
        ([0.2] * 299 + [2500], True),
        ([40] * 300, True),  # each by more than the 33 ms of a frame
    ],
)
def test_late_captures_are_told(late_ms: list[float], doubted: bool) -> None:
    frames = pa.table({"capture_late_ns": pa.array([int(ms * 1e6) for ms in late_ms], pa.int64())})
    found = late_captures(frames, fps=30)
    assert bool(found) == doubted
    if doubted:
        assert f"{max(late_ms):g} ms at most" in found[0]
