"""Whether a port is bound, from the kernel's tables."""

from __future__ import annotations

import socket

from testbed.traffic.command.ports import bound_ports, is_bound

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:1388 00000000:0000 0A 00000000:00000000
   1: 0100007F:1389 0100007F:9C40 01 00000000:00000000
   2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0
"""


def test_the_table_is_read() -> None:
    assert bound_ports(TABLE, listening=True) == {5000, 80}
    assert bound_ports(TABLE, listening=False) == {5000, 5001, 80}
    assert bound_ports("", listening=True) == set()


def test_a_socket_is_seen_and_gone_again() -> None:
    for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM)):
        with socket.socket(family, kind) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            if kind == socket.SOCK_STREAM:
                assert not is_bound(port)  # bound, and not listening yet
                sock.listen()
            assert is_bound(port)
        assert not is_bound(port)
