"""What a guest boots from: a kernel with its modules, the tools the host lacks, and an initramfs
that joins them.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import packages

from testbed.errors import UserError

_OPENVSWITCH = "openvswitch-switch"
# What it takes to reach the host's files. All else the guest's modprobe loads when asked.
_BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_INIT = Path(__file__).with_name("init.sh")


@dataclass(frozen=True)
class Image:
    """Folders to lay over the host's root, and the files to boot."""

    kernel: Path
    tools: Path
    modules: Path
    initramfs: Path


def image(name: str, find_packages: Callable[[], Sequence[str]], folder: Path) -> Image:
    """The image of that name, with its initramfs in ``folder``; downloaded the first time. Raises
    UserError.
    """
    tools = _unpacked(
        "tools", lambda: ["busybox-static", "kmod", *packages.not_installed([_OPENVSWITCH])]
    )
    modules = _unpacked(name, find_packages)
    (kernel,) = [*modules.glob("boot/vmlinuz-*"), *modules.glob("usr/bin/linux.uml")]
    (version,) = modules.glob("usr/lib/modules/*")
    if not (version / "modules.dep").exists():
        _depmod(tools, modules, version.name)
    initramfs = folder / "initramfs"
    initramfs.write_bytes(b"".join(_archive(_boot_files(tools, version))))
    return Image(kernel, tools, modules, initramfs)


def _unpacked(name: str, find_packages: Callable[[], Sequence[str]]) -> Path:
    """The folder of that name in the cache, with the files of the packages."""
    folder = packages.cache() / name
    if not (folder / "packages.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found = sorted(set(find_packages()))
        print(f"test-vm: downloading {' '.join(found)}", flush=True)
        packages.unpack(found, folder)
        for uml in folder.glob("usr/lib/uml/modules/*"):  # where modprobe looks
            (folder / "usr/lib/modules").mkdir(exist_ok=True)
            (folder / "usr/lib/modules" / uml.name).symlink_to(f"../uml/modules/{uml.name}")
        for daemon in folder.glob(
            "usr/lib/openvswitch-switch/ovs-vswitchd"
        ):  # a Debian alternative
            (folder / "usr/sbin" / daemon.name).symlink_to(
                f"../lib/{daemon.parent.name}/{daemon.name}"
            )
        (folder / "packages.json").write_text(json.dumps(found))
    return folder


def _depmod(tools: Path, modules: Path, version: str) -> None:
    """Write modules.dep, which Debian's packages leave to their installation."""
    libraries = f"{tools}/usr/lib/{os.uname().machine}-linux-gnu"
    done = subprocess.run(
        ["depmod", "-b", str(modules), version],
        executable=tools / "usr/bin/kmod" if shutil.which("depmod") is None else None,
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"depmod for Linux {version}: {done.stderr.strip()}; apt-get install kmod")


def _boot_files(tools: Path, version: Path) -> Iterable[tuple[str, int, bytes]]:
    """(path, mode, content) of everything in the initramfs."""
    for folder in ("bin", "modules", "proc", "sys", "dev"):
        yield folder, 0o40755, b""
    yield "bin/busybox", 0o100755, (tools / "usr/bin/busybox").read_bytes()
    yield "init", 0o100755, _INIT.read_bytes()
    order = _load_order(version)
    for module in order:
        content = module.read_bytes()
        yield (
            f"modules/{_plain(module)}",
            0o100644,
            lzma.decompress(content) if module.suffix == ".xz" else content,
        )
    yield "modules/order", 0o100644, "".join(f"{_plain(module)}\n" for module in order).encode()


def _plain(module: Path) -> str:
    return module.name.removesuffix(".xz")


def _load_order(version: Path) -> list[Path]:
    """Files of the boot modules, each after those that it needs. What is built into the kernel is
    not listed.
    """
    needs = {}
    for line in (version / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        needs[path] = needed.split()
    by_name = {Path(path).name.split(".")[0]: path for path in needs}
    order: list[str] = []
    for name in _BOOT_MODULES:
        if name in by_name:
            path = by_name[name]
            order += [one for one in [*reversed(needs[path]), path] if one not in order]
    return [version / path for path in order]


def _archive(files: Iterable[tuple[str, int, bytes]]) -> Iterable[bytes]:
    """A cpio archive in the "newc" format (Linux,
    Documentation/driver-api/early-userspace/buffer-format.rst).
    """
    for number, (path, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], start=1):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        yield header + name + bytes(-(len(header) + len(name)) % 4)
        yield content + bytes(-len(content) % 4)
