"""One agent's datapath in a kernel that has it as a module (`agent/ebpf/module/`): the same tables
as eBPF's maps, through a device.
"""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent import layout
from agent.config import AgentConfig
from agent.ebpf.datapath import EbpfDatapath, Tables
from agent.errors import AgentError

FLAVOURS = ("aimd", "bbr", "cubic")
_REQUEST = struct.Struct("=16sQII")  # struct datapath_request of requests.h
_TAKE = 0xC000_6300 | _REQUEST.size << 16
_ADMIT = 0x4000_6301 | 8 << 16
_FREE_SLOT = 0x4000_6302 | 4 << 16
_REMOVE = 0x4000_6303 | 16 << 16


def device(flavour: str) -> Path:
    """The device of the module with this flavour of the datapath."""
    return Path("/dev") / f"tbtest-cc-{flavour}"


def present() -> bool:
    """Whether this kernel has the datapath as modules."""
    return any(device(flavour).exists() for flavour in FLAVOURS)


class Device:
    """See `agent.ebpf.datapath.Tables`. Registers the controller under `cc_name`, or takes over
    that of an agent that died. Raises AgentError.
    """

    def __init__(self, flavour: str, cc_name: str, slots: int, ring_bytes: int) -> None:
        self.flavour = flavour
        self._name = _padded(cc_name)
        try:
            self.ring_fd = os.open(device(flavour), os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise AgentError(f"{device(flavour)}: {error.strerror}") from None
        asked = bytearray(_REQUEST.pack(self._name, ring_bytes, slots, 0))
        try:
            fcntl.ioctl(self.ring_fd, _TAKE, asked)
        except OSError as error:
            os.close(self.ring_fd)
            reason = _REFUSALS.get(error.errno or 0, error.strerror)
            raise AgentError(f"congestion control {cc_name!r}: {reason}") from None
        _, self.ring_bytes, slots, adopted = _REQUEST.unpack(asked)
        self.adopted = bool(adopted)
        self._next = 2 * mmap.PAGESIZE + 2 * self.ring_bytes  # past the ring, as it is mapped
        self.flows = self._array(layout.FLOW, slots)
        self.commands = self._array(layout.COMMAND, slots)
        self.control = self._array(layout.CONTROL, 1)
        self.counters = self._array(layout.COUNTERS, 1)

    def _array(self, dtype: np.dtype[np.void], entries: int) -> npt.NDArray[np.void]:
        size = -(-dtype.itemsize * entries // mmap.PAGESIZE) * mmap.PAGESIZE
        mapped = mmap.mmap(self.ring_fd, size, mmap.MAP_SHARED, offset=self._next)
        self._next += size
        return np.frombuffer(mapped, dtype, entries)

    def admit(self, cookies: Iterable[int]) -> None:
        """See Tables."""
        for cookie in cookies:
            fcntl.ioctl(self.ring_fd, _ADMIT, struct.pack("=Q", cookie))

    def free_slot(self, slot: int) -> None:
        """See Tables."""
        fcntl.ioctl(self.ring_fd, _FREE_SLOT, struct.pack("=I", slot))

    def remove(self) -> None:
        """See Tables."""
        fcntl.ioctl(self.ring_fd, _REMOVE, self._name)
        os.close(self.ring_fd)


class ModuleDatapath(EbpfDatapath):
    """See `agent.datapath.Datapath`. Raises AgentError where the kernel refuses it."""

    name = "module"

    def _tables(self, config: AgentConfig) -> Tables:
        flavour = next((name for name in config.flavours() if device(name).exists()), None)
        if flavour is None:
            raise AgentError(
                f"this kernel has no module of the datapath over {' or '.join(config.flavours())}"
            )
        opened = Device(flavour, config.cc_name, config.slots, config.ring_bytes)
        opened.control[:] = config.control()
        return opened


def clean(cc_name: str) -> None:
    """Unregister the controller that a dead agent left, if it did. Raises AgentError if the agent
    lives.
    """
    name = _padded(cc_name)
    for flavour in FLAVOURS:
        if not device(flavour).exists():
            continue
        fd = os.open(device(flavour), os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _REMOVE, name)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise AgentError(f"{cc_name} belongs to a running agent; stop it first") from error
        finally:
            os.close(fd)


def _padded(cc_name: str) -> bytes:
    """As the kernel keeps the name of a controller."""
    return cc_name.encode().ljust(16, b"\0")


_REFUSALS = {
    errno.EBUSY: "another agent has this name; choose another cc_name",
    errno.EEXIST: "it exists in this kernel; choose another cc_name",
}
