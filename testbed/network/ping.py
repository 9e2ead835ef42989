"""ICMP echo from inside namespaces, all pairs at once, without a process each."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from testbed.errors import UserError
from testbed.system.netns import NetNs
from testbed.system.rtnl import family

_ECHO_REQUEST, _ECHO_REPLY = 8, 0  # RFC 792
_ECHO_REQUEST_6, _ECHO_REPLY_6 = 128, 129  # RFC 4443
_REPLIES = 3
MIN_INTERVAL_S = 0.05
ECHO_BYTES = 80  # with its IPv6 header; 60 with an IPv4 one


class PingFailed(UserError):  # noqa: N818
    """A host did not answer."""


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(identifier: int, sequence: int, sent_ns: int, *, ipv6: bool = False) -> bytes:
    """An ICMP echo request that carries its sending time. Of ICMPv6 the kernel fills in the
    checksum.
    """
    body = struct.pack("!q", sent_ns) + bytes(24)
    if ipv6:
        return struct.pack("!BBHHH", _ECHO_REQUEST_6, 0, 0, identifier, sequence) + body
    header = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, identifier, sequence)
    return (
        struct.pack("!BBHHH", _ECHO_REQUEST, 0, checksum(header + body), identifier, sequence)
        + body
    )


def parse_reply(packet: bytes, *, ipv6: bool = False) -> tuple[int, int] | None:
    """(identifier, sending time in ns) of an echo reply in what a raw socket read: an IPv4 packet,
    or an ICMPv6 message; None for anything else.
    """
    icmp = packet if ipv6 else packet[(packet[0] & 15) * 4 :]
    if len(icmp) < 16 or icmp[0] != (_ECHO_REPLY_6 if ipv6 else _ECHO_REPLY):
        return None
    (identifier,) = struct.unpack_from("!H", icmp, 4)
    (sent_ns,) = struct.unpack_from("!q", icmp, 8)
    return identifier, sent_ns


def _raw_socket(source: str) -> socket.socket:
    if family(source) == socket.AF_INET6:
        return socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def ping_pairs(
    pairs: Sequence[tuple[NetNs, str, str]], timeout_s: float, interval_s: float = MIN_INTERVAL_S
) -> list[int | None]:
    """Smallest round trip in ns of three echoes for each (namespace, source, destination); None
    without an answer.
    """
    best: list[int | None] = [None] * len(pairs)
    replies = [0] * len(pairs)
    with ExitStack() as stack:
        poller = select.poll()
        sockets: dict[int, socket.socket] = {}
        by_pair = []
        for netns, source, _ in pairs:
            with netns.inside():
                sock = stack.enter_context(_raw_socket(source))
            sock.bind((source, 0))
            sock.setblocking(False)
            poller.register(sock, select.POLLIN)
            sockets[sock.fileno()] = sock
            by_pair.append(sock)
        deadline = time.monotonic() + timeout_s
        next_send = time.monotonic()
        sequence = 0
        while min(replies, default=_REPLIES) < _REPLIES and (now := time.monotonic()) < deadline:
            if now >= next_send:
                for index, sock in enumerate(by_pair):
                    if replies[index] < _REPLIES:
                        with suppress(OSError):  # no route: an answer is what counts
                            ipv6 = sock.family == socket.AF_INET6
                            echo = echo_request(index, sequence, time.monotonic_ns(), ipv6=ipv6)
                            sock.sendto(echo, (pairs[index][2], 0))
                sequence = (sequence + 1) & 0xFFFF
                next_send = now + interval_s
            for fd, _ in poller.poll(max(1.0, (next_send - time.monotonic()) * 1000)):
                packet = sockets[fd].recv(2048)
                answer = parse_reply(packet, ipv6=sockets[fd].family == socket.AF_INET6)
                if answer is None or by_pair[answer[0]] is not sockets[fd]:
                    continue
                index, sent_ns = answer
                rtt_ns = time.monotonic_ns() - sent_ns
                known = best[index]
                best[index] = rtt_ns if known is None else min(known, rtt_ns)
                replies[index] += 1
    return best
