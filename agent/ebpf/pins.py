"""One agent's datapath as it lies in bpffs: maps, open and mapped into memory."""

import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent import layout
from agent.ebpf import bpffs, libbpf
from agent.errors import AgentError

ANY_NETNS = 0
"""In place of a cookie in the map of namespaces: all of them (report.h)."""
#: The maps that the agent uses, with the entry type of those that it maps into memory.
MAPS: dict[str, np.dtype[np.void] | None] = {
    "records": None,
    "free_slots": None,
    "namespaces": None,
    "flows": layout.FLOW,
    "commands": layout.COMMAND,
    "control": layout.CONTROL,
    "counters": layout.COUNTERS,
}


class Pins:
    """Opens the maps pinned in `folder`.

    lock: descriptor from `bpffs.lock`, owned from here on; flavour: the kernel algorithm under the
    datapath; adopted: whether a dead agent left the pins (its flows live on). Raises AgentError if
    the pins are of another version.
    """

    def __init__(self, folder: Path, lock: int, flavour: str, *, adopted: bool) -> None:
        self.folder = folder
        self.flavour = flavour
        self.adopted = adopted
        self._lock = lock
        self._fds = {name: libbpf.get(folder / name) for name in MAPS}
        self.ring_fd = self._fds["records"]
        self.ring_bytes = libbpf.map_info(self.ring_fd)[1]
        self.flows = self._array("flows", writable=False)  # FLOW[slots]
        self.commands = self._array("commands", writable=True)  # COMMAND[slots]
        self.control = self._array("control", writable=True)  # CONTROL[1]
        self.counters = self._array("counters", writable=False)  # COUNTERS[1]

    def _array(self, name: str, *, writable: bool) -> npt.NDArray[np.void]:
        dtype = MAPS[name]
        value_bytes, entries, _ = libbpf.map_info(self._fds[name])
        if dtype is None or value_bytes != dtype.itemsize:
            raise AgentError(
                f"{self.folder} holds pins of another version; remove them: tbtest clean"
            )
        size = -(-value_bytes * entries // mmap.PAGESIZE) * mmap.PAGESIZE
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        return np.frombuffer(
            mmap.mmap(self._fds[name], size, mmap.MAP_SHARED, protection), dtype, entries
        )

    def admit(self, cookies: Iterable[int]) -> None:
        """Let flows of these network namespaces take slots, besides those that may already."""
        for cookie in cookies:
            libbpf.put(self._fds["namespaces"], cookie, 1)

    def free_slot(self, slot: int) -> None:
        """Hand back a slot that a flow left without a CLOSE. If the flow lives after all, it opens
        anew.
        """
        libbpf.push(self._fds["free_slots"], slot)

    def leave(self) -> None:
        """Close everything but keep the pins, as dying does: flows fall back, and another agent can
        take over.
        """
        for fd in self._fds.values():
            os.close(fd)
        os.close(self._lock)

    def remove(self) -> None:
        """Unregister and unpin. Live flows go on under the kernel's own control."""
        bpffs.empty(self.folder)
        self.folder.rmdir()
        self.leave()
        bpffs.unmount_if_ours()
