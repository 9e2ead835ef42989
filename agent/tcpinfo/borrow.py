# ruff: noqa: PTH115, PTH208  # plain strings: all of /proc is looked through twenty times a second
"""Finds other processes' TCP sockets and borrows them for a moment (pidfd_getfd, Linux 5.6)."""

import ctypes
import errno
import os
import platform
import socket
import struct
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PIDFD_GETFD = 438  # the same number on every architecture
SO_MAX_PACING_RATE = 47
UNLIMITED = 2**64 - 1
_ESTABLISHED = "01"
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class SocketName:
    """Where a socket is found: descriptor `fd` of process `pid`; `inode` tells it from a later one
    there.
    """

    pid: int
    fd: int
    inode: int

    def text(self) -> str:
        """One line for the guard; `parse` reads it."""
        return f"{self.pid} {self.fd} {self.inode}"

    @classmethod
    def parse(cls, text: str) -> "SocketName":
        """The inverse of `text`."""
        pid, fd, inode = map(int, text.split())
        return cls(pid, fd, inode)


def unavailable() -> str | None:
    """Why borrowing cannot work here, with the remedy; None where it can."""
    if platform.system() != "Linux" or not hasattr(os, "pidfd_open"):
        return "pidfd_getfd is missing; Linux 5.6 or later is needed"
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() and scope.exists() and scope.read_text().strip() != "0":
        return (
            "sockets of other processes are out of reach (kernel.yama.ptrace_scope); run as root "
            "or set it to 0"
        )
    return None


@contextmanager
def borrowed(name: SocketName) -> Iterator[socket.socket | None]:
    """The socket, for the length of the block; None if it is gone.

    It is never held longer: a duplicate would keep the connection open after its owner closed it.
    """
    fd = _descriptor(name)
    if fd is None:
        yield None
        return
    with socket.socket(fileno=fd) as sock:
        yield sock


def tcp_info(name: SocketName, size_bytes: int) -> bytes | None:
    """That much of the socket's struct tcp_info, or less where the kernel has less; None if it is
    gone. Without a socket object, which would ask the kernel for its family, type and protocol: a
    snapshot is taken hundreds of times a second.
    """
    fd = _descriptor(name)
    if fd is None:
        return None
    info = ctypes.create_string_buffer(size_bytes)
    length = ctypes.c_uint32(size_bytes)
    try:
        if _LIBC.getsockopt(fd, socket.IPPROTO_TCP, socket.TCP_INFO, info, ctypes.byref(length)):
            raise OSError(number := ctypes.get_errno(), f"TCP_INFO: {os.strerror(number)}")
    finally:
        os.close(fd)
    return info.raw[: length.value]


def _descriptor(name: SocketName) -> int | None:
    """A duplicate of the socket's descriptor; None if it is gone."""
    try:
        pidfd = os.pidfd_open(name.pid)
    except ProcessLookupError:
        return None
    try:
        fd = int(_LIBC.syscall(_PIDFD_GETFD, pidfd, name.fd, 0))
    finally:
        os.close(pidfd)
    if fd < 0:
        if (number := ctypes.get_errno()) in (errno.EBADF, errno.ESRCH):
            return None
        raise OSError(number, f"pidfd_getfd of process {name.pid}: {os.strerror(number)}")
    if os.fstat(fd).st_ino != name.inode:
        os.close(fd)
        return None
    return fd


def cap(sock: socket.socket, rate_bytes_per_s: int) -> None:
    """Set SO_MAX_PACING_RATE; `UNLIMITED` lifts it."""
    sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("=Q", rate_bytes_per_s))


def find(ports: tuple[int, int], known: Collection[int]) -> list[SocketName]:
    """Established TCP sockets of reachable processes, local port in [ports[0], ports[1]), inode not
    in `known`.
    """
    found = []
    for pids in _processes_by_netns().values():
        missing = _established(pids[0], ports) - set(known)
        for pid in pids:
            if not missing:
                break
            for fd, inode in _sockets(pid):
                if inode in missing:
                    missing.discard(inode)
                    found.append(SocketName(pid, fd, inode))
    return found


def _processes_by_netns() -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                groups[os.readlink(f"/proc/{entry}/ns/net")].append(int(entry))
            except OSError:  # ended, or another user's
                continue
    return groups


def _established(pid: int, ports: tuple[int, int]) -> set[int]:
    """Inodes of the established sockets in the process's network namespace; format: proc(5),
    /proc/net/tcp.
    """
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if (
                columns[3] == _ESTABLISHED
                and ports[0] <= int(columns[1].rpartition(":")[2], 16) < ports[1]
            ):
                inodes.add(int(columns[9]))
    return inodes


def _sockets(pid: int) -> Iterator[tuple[int, int]]:
    """(descriptor, inode) of each socket of a process."""
    try:
        entries = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for entry in entries:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield int(entry), int(target[8:-1])
