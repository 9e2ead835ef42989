"""Folders of pins in bpffs: made, locked by the agent that uses them, and removed with all they
hold.
"""

import ctypes
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.ebpf import libbpf
from agent.errors import AgentError

ROOT = Path("/sys/fs/bpf")
_MOUNTED_BY_US = "tbtest-mounted"  # an empty folder that says who mounted bpffs
_BPF_FS_MAGIC = 0xCAFE4A11
_EXIT_S = 2.0
"""A killed agent counts as dead before its last thread has closed its descriptors, and with them
the lock.
"""


def in_bpffs(path: Path) -> bool:
    """Whether the path lies in a BPF file system."""
    buffer = (ctypes.c_long * 32)()
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.statfs(os.fsencode(path), buffer) == 0 and buffer[0] == _BPF_FS_MAGIC


@contextmanager
def _mounting() -> Iterator[None]:
    """One process at a time looks whether bpffs is mounted and acts on what it saw."""
    # The folder over the mount point: ROOT itself is another file before and after mounting.
    fd = os.open(ROOT.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make(folder: Path) -> None:
    """Make a folder for pins; bpffs is mounted where it is absent (systemd mounts it at boot).

    Raises AgentError naming the folder and the remedy.
    """
    try:
        with _mounting():
            _mount()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise AgentError(
            f"{folder} cannot be made: {error.strerror}; run as root, where {ROOT} can be written "
            f"to (mount -o remount,rw {ROOT}; a container needs --privileged)"
        ) from None


def probe(folder: Path) -> None:
    """Make a folder for pins and remove it again. Raises AgentError if that cannot be."""
    make(folder)
    folder.rmdir()
    unmount_if_ours()


def _mount() -> None:
    if in_bpffs(ROOT):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", str(ROOT).encode(), b"bpf", 0, None):
        number = ctypes.get_errno()
        raise AgentError(
            f"{ROOT} is no BPF file system and mounting it failed: {os.strerror(number)}; run as "
            "root"
        )
    (ROOT / _MOUNTED_BY_US).mkdir(exist_ok=True)  # a note for `unmount_if_ours`


def unmount_if_ours() -> None:
    """Unmount bpffs if `make` mounted it and nothing is left in it."""
    with _mounting():
        if in_bpffs(ROOT) and _contents() == [_MOUNTED_BY_US]:
            ctypes.CDLL(None, use_errno=True).umount2(str(ROOT).encode(), 0)


def _contents() -> list[str]:
    # The kernel's own files (maps.debug, progs.debug) come with every BPF file system.
    return [entry.name for entry in ROOT.iterdir() if entry.suffix != ".debug"]


def lock(folder: Path, patience_s: float = 0.0) -> int | None:
    """Hold the folder for this process; None if an agent holds it all the while. The lock ends with
    the descriptor.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    end_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() >= end_s:
                os.close(fd)
                return None
        time.sleep(0.01)


def empty(folder: Path) -> None:
    """Unregister the controller pinned in `folder` and remove every pin. Live flows go on under the
    kernel.
    """
    link, struct_ops = folder / "link", folder / "struct_ops"
    if struct_ops.exists():
        fd = libbpf.get(struct_ops)
        try:
            if not libbpf.map_info(fd)[2] & libbpf.BPF_F_LINK:
                libbpf.unregister(fd)
        except FileNotFoundError:
            pass  # never registered, or no longer
        finally:
            os.close(fd)
    link.unlink(missing_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir():
            entry.rmdir()
        else:
            entry.unlink()


def clean(folder: Path) -> bool:
    """Remove the pins that a dead agent left, and its mount if it was the last of ours there.

    Returns False if there were no pins. Raises AgentError if an agent lives, or if the folder is
    none of bpffs: everything in the folder is removed.
    """
    if not folder.is_dir():
        unmount_if_ours()  # it may have died between mounting and pinning
        return False
    if not in_bpffs(folder) or folder.is_mount():
        raise AgentError(
            f"{folder} is no folder of pins in a BPF file system; name one below {ROOT}"
        )
    held = lock(folder, _EXIT_S)
    if held is None:
        raise AgentError(f"{folder} belongs to a running agent; stop that agent first")
    try:
        empty(folder)
        folder.rmdir()
    finally:
        os.close(held)
    unmount_if_ours()
    return True
