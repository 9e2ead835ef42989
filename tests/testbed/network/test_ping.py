import struct

import pytest

from testbed.network.ping import checksum, echo_request, parse_reply, ping_pairs
from testbed.system.netns import NetNs
from testbed.system.rtnl import configure, create_veth


def test_checksum_of_the_example_in_rfc_1071() -> None:
    # Section 3: the words 0001 f203 f4f5 f6f7 add up to ddf2.
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF


def test_an_odd_byte_is_padded() -> None:
    assert checksum(b"\x01") == checksum(b"\x01\x00")


def test_a_request_verifies_and_comes_back_as_a_reply() -> None:
    request = echo_request(7, 3, 123456789)
    assert checksum(request) == 0
    ip_header = bytes([0x45]) + bytes(19)
    assert parse_reply(ip_header + b"\0" + request[1:]) == (7, 123456789)
    assert parse_reply(ip_header + request) is None
    assert parse_reply(ip_header + struct.pack("!BBHHH", 3, 1, 0, 0, 0)) is None


@pytest.mark.root
def test_answers_and_silence() -> None:
    with NetNs.create() as a, NetNs.create() as b:
        create_veth(a, "left", b, "right")
        configure(a, {"left": "10.0.0.1/29"})
        configure(b, {"right": "10.0.0.2/29"})
        # A new veth may drop packets for up to a second, until the kernel has noticed its carrier.
        (there,) = ping_pairs([(a, "10.0.0.1", "10.0.0.2")], timeout_s=5)
        assert there is not None
        assert 0 < there < 5_000_000_000
        # No such neighbour, and no route at all.
        assert ping_pairs(
            [(a, "10.0.0.1", "10.0.0.3"), (a, "10.0.0.1", "10.9.0.1")], timeout_s=0.3
        ) == [
            None,
            None,
        ]
