"""TCP sockets of the measured flows: fixed ports, the congestion controller set and read back."""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import socket
import time
from pathlib import Path

from testbed.errors import UserError
from testbed.ports import CLIENT_PORTS
from testbed.traffic.base import FlowSpec
from testbed.traffic.process import Interval, Terminated, wait_for
from testbed.units import NS_PER_S

TCP_NOTSENT_LOWAT = 25  # linux/tcp.h; absent from the socket module
_CONNECT_TIMEOUT_NS = 15 * NS_PER_S  # a SYN may meet an outage
_ACCEPT_TIMEOUT_NS = 20 * NS_PER_S


def family(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET


def set_congestion(sock: socket.socket, name: str) -> None:
    """Choose the congestion controller. Raises UserError if the kernel does not take or keep it."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
    except OSError as error:
        raise UserError(
            f"congestion controller {name!r} cannot be set: {error.strerror}"
        ) from error
    found = read_congestion(sock)
    if found != name:
        raise UserError(
            f"congestion controller {name!r} was asked for, but the kernel uses {found!r}"
        )


def read_congestion(sock: socket.socket) -> str:
    """The congestion controller that the kernel uses."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


def bound_sender(spec: FlowSpec) -> socket.socket:
    """A sender's socket, bound and under its congestion controller, not yet connected. Raises
    UserError, OSError.
    """
    sock = socket.socket(family(spec.sender_address), socket.SOCK_STREAM)
    try:
        set_congestion(sock, spec.tcp_congestion)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((spec.sender_address, spec.sender_port))
    except BaseException:
        sock.close()
        raise
    return sock


def connect(
    sock: socket.socket, spec: FlowSpec, interval: Interval, terminated: Terminated
) -> bool:
    """Connect, leave the socket non-blocking, and check that the controller survived.

    False: SIGTERM came first. Raises UserError, OSError (TimeoutError after 15 s or at the flow's
    end).
    """
    sock.setblocking(False)
    status = sock.connect_ex((spec.receiver_address, spec.receiver_port))
    if status == errno.EINPROGRESS:
        until_ns = min(time.monotonic_ns() + _CONNECT_TIMEOUT_NS, interval.stop_ns)
        if not wait_for(sock.fileno(), select.POLLOUT, terminated, until_ns):
            if terminated:
                return False
            raise TimeoutError(
                f"no answer from {spec.receiver_address} port {spec.receiver_port} for as long as "
                "the flow waits (15 s, or its length): the link was in an outage, too slow for a "
                "connection to be set up, or lost every packet"
            )
        status = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if status:
        raise OSError(status, f"connecting to {spec.receiver_address}: {os.strerror(status)}")
    set_congestion(sock, spec.tcp_congestion)
    return True


def listener(spec: FlowSpec) -> socket.socket:
    """A receiver's listening socket."""
    sock = socket.socket(family(spec.receiver_address), socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((spec.receiver_address, spec.receiver_port))
        sock.listen(1)
    except BaseException:
        sock.close()
        raise
    return sock


def serving(spec: FlowSpec, backlog: int = 16) -> socket.socket:
    """A listening socket on the sender's port, for kinds whose receiver connects. Connections that
    it accepts inherit its congestion controller. Raises UserError, OSError.
    """
    sock = bound_sender(spec)
    try:
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def use_client_ports() -> None:
    """Let the sockets that connect in this network namespace have ports by which the links' logs
    tell them. Raises OSError.
    """
    first, last = CLIENT_PORTS
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{first} {last}", encoding="ascii")


def accept(
    waiting: socket.socket, interval: Interval, terminated: Terminated
) -> socket.socket | None:
    """The sender's connection; None if it did not come in time or SIGTERM came first."""
    until_ns = min(time.monotonic_ns() + _ACCEPT_TIMEOUT_NS, interval.stop_ns)
    if not wait_for(waiting.fileno(), select.POLLIN, terminated, until_ns):
        return None
    return waiting.accept()[0]


def abort(sock: socket.socket) -> None:
    """Close with a reset: what is still unsent does not outlive the measurement."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.close()
