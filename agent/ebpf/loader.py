"""Loads the eBPF datapath and pins it, or takes over the pins of an agent that died."""

import contextlib
import errno
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.ebpf import bpffs, libbpf
from agent.ebpf.pins import MAPS, Pins
from agent.errors import AgentError

FOLDER = Path(__file__).parent
_MODULES = {
    "bbr": "tcp_bbr",
    "cubic": "tcp_cubic",
}  # what a flavour needs, where the kernel has it not built in
_PLACEHOLDER = b"@tbtest-name@"
# an empty folder among the pins says that everything is in place, and of which flavour
_READY = "ready-"


@dataclass(frozen=True)
class Sizes:
    """slots: flows at once; ring_bytes: a power of two, at least a page."""

    slots: int
    ring_bytes: int


def unavailable() -> str | None:
    """Why the eBPF tier cannot run here, with the remedy; None if nothing speaks against it."""
    if platform.machine() != "x86_64":
        return f"the ring reader relies on x86 memory ordering and this is {platform.machine()}"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return (
            "the kernel has no /sys/kernel/btf/vmlinux; boot one built with CONFIG_DEBUG_INFO_BTF"
        )
    if not (FOLDER / "aimd.bpf.o").exists():
        return f"the eBPF datapath is not compiled; install clang and run: make -C {FOLDER}"
    if not capable():
        return "loading eBPF takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; run as root"
    try:
        libbpf.library()
    except AgentError as error:
        return str(error)
    return None


def capable() -> bool:
    needed = (1 << 12) | (1 << 38) | (1 << 39)  # CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF
    status = Path("/proc/self/status").read_text()
    effective = int(
        next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16
    )
    return effective & needed == needed


def open_pins(
    folder: Path, cc_name: str, flavours: Sequence[str], sizes: Sizes, control: npt.NDArray[np.void]
) -> Pins:
    """Take over the pins in `folder` if they are whole, else load and register the first flavour
    this kernel takes.

    cc_name: 1 to 15 characters, the TCP_CONGESTION name, unique on the host; flavours: "bbr",
    "aimd", "cubic" in order of preference; control: one entry of `layout.CONTROL`. Raises
    AgentError with the kernel's reason.
    """
    if not 1 <= len(cc_name.encode()) <= 15:
        raise AgentError(f"congestion control name {cc_name!r}: 1 to 15 characters are allowed")
    bpffs.make(folder)
    lock = bpffs.lock(folder)
    if lock is None:
        raise AgentError(f"{folder} is in use by another agent; choose another pin_dir")
    try:
        flavour = _ready(folder)
        adopted = flavour is not None
        if flavour is None:
            flavour = _create(folder, cc_name, flavours, sizes, control)
        pins = Pins(folder, lock, flavour, adopted=adopted)
        pins.control[:] = control
        return pins
    except BaseException:
        if _ready(folder) is None:
            bpffs.empty(folder)
            folder.rmdir()
        os.close(lock)
        bpffs.unmount_if_ours()
        raise


def _ready(folder: Path) -> str | None:
    return next((entry.name.removeprefix(_READY) for entry in folder.glob(f"{_READY}*")), None)


def _create(
    folder: Path, cc_name: str, flavours: Sequence[str], sizes: Sizes, control: npt.NDArray[np.void]
) -> str:
    refusals = []
    for flavour in flavours:
        bpffs.empty(folder)
        if module := _MODULES.get(flavour):
            # Where the algorithm is built in there may be nothing to load, not even modprobe;
            # loading the object tells.
            with contextlib.suppress(FileNotFoundError):
                subprocess.run(["modprobe", "-q", module], check=False, capture_output=True)
        try:
            _load(folder, cc_name, flavour, sizes, control)
        except OSError as error:
            if error.errno == errno.EEXIST:
                raise AgentError(
                    f"congestion control {cc_name!r} exists on this host; choose another cc_name"
                ) from None
            refusals.append(f"{flavour}: {error.strerror or error}")
            continue
        (folder / f"{_READY}{flavour}").mkdir()
        return flavour
    raise AgentError(f"this kernel refuses the eBPF datapath ({'; '.join(refusals)})")


def _load(
    folder: Path, cc_name: str, flavour: str, sizes: Sizes, control: npt.NDArray[np.void]
) -> None:
    """Load, pin and register one flavour, with a link where the kernel has them (6.4 and later)."""
    try:
        _register(folder, cc_name, flavour, sizes, control, link=True)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        bpffs.empty(folder)
        _register(folder, cc_name, flavour, sizes, control, link=False)


def _register(
    folder: Path,
    cc_name: str,
    flavour: str,
    sizes: Sizes,
    control: npt.NDArray[np.void],
    *,
    link: bool,
) -> None:
    elf = (FOLDER / f"{flavour}.bpf.o").read_bytes()
    # The name is data of the struct_ops section. Writing it there needs no libbpf newer than Debian
    # 12's.
    name = cc_name.encode().ljust(16, b"\0")
    if elf.count(_PLACEHOLDER) != 1:
        raise AgentError(
            f"{flavour}.bpf.o holds no name to replace; rebuild it: make -B -C {FOLDER}"
        )
    start = elf.index(_PLACEHOLDER)
    loaded = libbpf.BpfObject(elf[:start] + name + elf[start + len(name) :])
    opened: list[int] = []
    try:
        for sized in ("free_slots", "flows", "commands"):
            loaded.set_max_entries(sized, sizes.slots)
        loaded.set_max_entries("records", sizes.ring_bytes)
        if link:
            loaded.set_map_flags("tbtest", libbpf.BPF_F_LINK)
        loaded.load()
        fds = {map_name: loaded.map_fd(map_name) for map_name in (*MAPS, "tbtest")}
        opened.extend(fds.values())
        for slot in range(sizes.slots):
            libbpf.push(fds["free_slots"], slot)
        libbpf.update(fds["control"], 0, control.tobytes())
        for map_name in MAPS:
            libbpf.pin(fds[map_name], folder / map_name)
        # Before registering: without a link, this pin is the only way to unregister.
        libbpf.pin(fds["tbtest"], folder / "struct_ops")
        link_fd = loaded.register("tbtest", link=link)
        if link_fd is not None:
            opened.append(link_fd)
            libbpf.pin(link_fd, folder / "link")
    finally:
        for fd in opened:
            os.close(fd)
        loaded.close()
