"""Captures written with scapy, with loss and delay that are known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from scapy.utils import RawPcapWriter

from analysis.errors import AnalysisError
from analysis.pcap import recompute
from tests.analysis.synthetic import MS, S

_RAW, _ETHERNET, _COOKED = 101, 1, 113


def write(
    path: Path,
    packets: Iterable[tuple[int, Packet | bytes]],
    linktype: int = _RAW,
    *,
    nano: bool = True,
) -> None:
    with RawPcapWriter(str(path), linktype=linktype, nano=nano) as writer:
        writer.write_header(None)
        for at_ns, packet in packets:
            raw = packet if isinstance(packet, bytes) else bytes(packet)
            writer.write_packet(raw, sec=at_ns // S, usec=at_ns % S // (1 if nano else 1000))


def data(
    number: int, *, flow: int = 0, ident: int | None = None, size: int = 1000, v6: bool = False
) -> Packet:
    """A packet of ``size`` IP bytes with data of a flow."""
    tcp = TCP(sport=40_000 + flow, dport=5_000 + flow, seq=1 + number * 1000)
    if v6:
        return IPv6(src="fd00::1", dst="fd00::2") / tcp / Raw(bytes(size - 60))
    return (
        IP(src="10.0.0.1", dst="10.0.1.1", id=number if ident is None else ident)
        / tcp
        / Raw(bytes(size - 40))
    )


def crossing(
    packets: list[Packet], delay_ms: float
) -> tuple[list[tuple[int, Packet]], list[tuple[int, Packet]]]:
    """The packets, one a millisecond, before and behind a link with that delay."""
    ingress = [(S + number * MS, packet) for number, packet in enumerate(packets)]
    return ingress, [(at_ns + round(delay_ms * MS), packet) for at_ns, packet in ingress]


@pytest.mark.parametrize("linktype", [_RAW, _ETHERNET], ids=["raw", "ethernet"])
@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("nano", [False, True], ids=["microseconds", "nanoseconds"])
def test_known_loss_and_delay(tmp_path: Path, linktype: int, v6: bool, nano: bool) -> None:
    frames = [data(number, v6=v6) for number in range(100)]
    if linktype == _ETHERNET:
        frames = [
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / frame for frame in frames
        ]
    ingress, egress = crossing(frames, 20.5)
    kept = [entry for number, entry in enumerate(egress) if number % 10]  # every tenth is lost
    write(tmp_path / "in.pcap", ingress, linktype, nano=nano)
    write(tmp_path / "out.pcap", kept, linktype, nano=nano)
    (found,) = recompute(tmp_path / "in.pcap", tmp_path / "out.pcap", S).values()
    assert found.packets == 100
    assert found.loss_rate == pytest.approx(0.1)
    assert found.owd_ms.p50 == pytest.approx(20.5)
    assert found.owd_ms.p99 == pytest.approx(20.5)
    assert found.throughput_mbps == pytest.approx(90 * 1000 * 8 / 1e6)


def test_flows_are_told_apart_and_others_are_left_out(tmp_path: Path) -> None:
    first, second = (
        [data(number) for number in range(10)],
        [data(number, flow=3, size=500) for number in range(5)],
    )
    ack = IP() / TCP(sport=5_000, dport=40_000)
    udp = IP() / UDP(sport=40_000, dport=5_000)
    ingress, egress = crossing([*first, *second, ack, udp], 5)
    write(tmp_path / "in.pcap", ingress)
    write(tmp_path / "out.pcap", egress[:12])
    found = recompute(tmp_path / "in.pcap", tmp_path / "out.pcap", S)
    assert set(found) == {0, 3}
    assert found[0].loss_rate == 0
    assert found[3].loss_rate == pytest.approx(3 / 5)
    assert found[3].throughput_mbps == pytest.approx(2 * 500 * 8 / 1e6)


def test_a_retransmission_is_a_packet_of_its_own(tmp_path: Path) -> None:
    once, again = (
        data(1, ident=7),
        data(1, ident=8),
    )  # the same bytes, sent twice; the first was lost
    ingress, egress = crossing([once, again], 10)
    write(tmp_path / "in.pcap", ingress)
    write(tmp_path / "out.pcap", egress[1:])
    (found,) = recompute(tmp_path / "in.pcap", tmp_path / "out.pcap", S).values()
    assert found.packets == 2
    assert found.loss_rate == pytest.approx(0.5)
    assert found.owd_ms.p50 == pytest.approx(10)


def test_everything_lost(tmp_path: Path) -> None:
    ingress, _ = crossing([data(1)], 0)
    write(tmp_path / "in.pcap", ingress)
    write(tmp_path / "out.pcap", [(S, IP() / UDP())])
    (found,) = recompute(tmp_path / "in.pcap", tmp_path / "out.pcap", S).values()
    assert (found.loss_rate, found.throughput_mbps, found.owd_ms.p50) == (1, 0, None)


def test_frames_without_ip_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "in.pcap", [(S, Ether() / ARP())], _ETHERNET)
    assert recompute(tmp_path / "in.pcap", tmp_path / "in.pcap", S) == {}


@pytest.mark.parametrize("content", [None, b"", b"not a capture at all, whatever it is"])
def test_what_is_no_capture_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "in.pcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AnalysisError, match=r"in\.pcap: not a readable capture"):
        recompute(path, path, S)


def test_a_packet_cut_within_its_headers_is_named(tmp_path: Path) -> None:
    write(tmp_path / "in.pcap", [(S, bytes(data(1))[:1])])
    with pytest.raises(AnalysisError, match=r"in\.pcap: a packet is cut within its headers"):
        recompute(tmp_path / "in.pcap", tmp_path / "in.pcap", S)


def test_another_link_type_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "in.pcap", [(S, data(1))], _COOKED)
    with pytest.raises(AnalysisError, match="link type 113 is neither Ethernet nor raw IP"):
        recompute(tmp_path / "in.pcap", tmp_path / "in.pcap", S)
