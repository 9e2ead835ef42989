"""A network namespace, held by a file descriptor: it has no name on the host and ends with its last
process.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from types import TracebackType
from typing import Self

from testbed.system.signals import unbroken

_CLONE_NEWNET = 0x40000000
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, Linux 5.14
_libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12


def _checked(call: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _setns(fd: int) -> None:
    _checked("setns", _libc.setns(fd, _CLONE_NEWNET))


class NetNs:
    """Handle of a namespace. ``cookie`` is the kernel's own number for it, never used twice while
    it runs.
    """

    def __init__(self, fd: int) -> None:
        """Takes over ``fd``, an open /proc/<pid>/ns/net."""
        self.fd = fd
        with self.inside(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            self.cookie: int = struct.unpack(
                "Q", probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
            )[0]

    @classmethod
    def of(cls, pid: int) -> Self:
        """The namespace that process ``pid`` is in."""
        return cls(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def current(cls) -> Self:
        """The namespace of the calling thread."""
        return cls(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def create(cls) -> Self:
        """A fresh namespace without a process: it lasts as long as this handle. Raises OSError
        without root.
        """
        home = cls.current()
        with home.inside():  # leaving it brings the thread back home from the new one
            _checked("unshare", _libc.unshare(_CLONE_NEWNET))
            fresh = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        home.close()
        return cls(fresh)

    def inside(self) -> _Inside:
        """Context manager: the calling thread is in this namespace, and back where it was
        afterwards.

        Sockets opened and processes started inside stay in it.
        """
        return _Inside(self.fd)

    def close(self) -> None:
        """Let go of the namespace."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Inside:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._home = -1

    def __enter__(self) -> None:
        try:
            self._go()
        except BaseException:
            self._return()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._return()

    @unbroken
    def _go(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _setns(self._fd)

    @unbroken
    def _return(self) -> None:
        if self._home >= 0:
            _setns(self._home)
            os.close(self._home)
            self._home = -1
