"""Guests: a kernel in QEMU's software emulation or User-Mode Linux, with the host's files, running
one command.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import packages
from image import Image, image

from testbed.errors import UserError
from testbed.system.process import ProcessFailed
from testbed.system.scope import Scope
from testbed.system.state import STATE_DIR

REPOSITORY = Path(__file__).resolve().parents[2]
_QEMU = "qemu-system-x86_64"
_MEMORY_MIB = 2048
# On a panic the guest restarts at once, which ends it: QEMU is told not to, User-Mode Linux cannot.
_KERNEL_OPTIONS = "loglevel=1 panic=-1 random.trust_cpu=on"


@dataclass(frozen=True)
class Kernel:
    """A kernel to test on. ``marks``: the tests that make sense there."""

    name: str
    find_packages: Callable[[], Sequence[str]]
    marks: tuple[str, ...]
    uml: bool = False


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel(
            "6.1", lambda: [packages.image_of("linux-image-amd64")], ("netem", "ovs", "ebpf_stock")
        ),
        Kernel(
            "6.12",
            lambda: [packages.image_of("linux-image-6.12-amd64")],
            ("netem", "ovs", "ebpf_stock"),
        ),
        Kernel("uml", lambda: ["user-mode-linux"], ("netem", "ovs"), uml=True),  # has no eBPF JIT
    )
}


@dataclass(frozen=True)
class Outcome:
    """How the command ended, and how long that took, booting and all."""

    status: int
    wall_s: float


def run(
    kernel: Kernel,
    argv: Sequence[str],
    environment: Mapping[str, str],
    results: Path | None,
    timeout_s: float,
) -> Outcome:
    """Boot the kernel, run the command in the repository's folder, echo what it prints.

    What the guest writes into /run/job is kept in ``results``, if given. Raises UserError where
    something is missing, if the guest ends before the command does, and after ``timeout_s``; the
    guest is gone in any case.
    """
    begun = time.monotonic()
    with Scope(state_dir=_state_dir()) as scope:
        job = results or scope.tmp / "job"
        job.mkdir(parents=True, exist_ok=True)
        _write_job(job, argv, environment)
        found = image(kernel.name, kernel.find_packages, scope.tmp)
        command = _uml(found, job, scope.tmp) if kernel.uml else _qemu(found, job)
        guest = scope.spawn(command, name=f"guest-{kernel.name}", env={"TMPDIR": str(scope.tmp)})
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                print(guest.read_line(deadline - time.monotonic()), flush=True)
        except ProcessFailed as error:  # out of time, or at the end of its output
            if time.monotonic() > deadline:
                raise UserError(
                    f"{kernel.name}: not done within {timeout_s:g} s; allow more by --timeout"
                ) from error
            if not (job / "status").exists():
                raise
        return Outcome(int((job / "status").read_text()), time.monotonic() - begun)


def _write_job(job: Path, argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """What guest.py reads, and the program that the guest's init starts."""
    (job / "status").unlink(missing_ok=True)
    todo = {"folder": str(REPOSITORY), "argv": list(argv), "environment": dict(environment)}
    (job / "job.json").write_text(json.dumps(todo))
    program = shlex.join([sys.executable, str(REPOSITORY / "scripts/vm/guest.py")])
    start = job / "start"
    start.write_text(f"#!/bin/sh\nexec {program}\n")
    start.chmod(0o755)


def _state_dir() -> Path:
    """Without root a state file of our own; `tbtest clean` looks into root's."""
    return STATE_DIR if os.geteuid() == 0 else packages.cache() / "state"


def _qemu(found: Image, job: Path) -> list[str]:
    argv = [
        packages.require_program(_QEMU, "qemu-system-x86"),
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
    ]
    argv += [
        "-display",
        "none",
        "-serial",
        "stdio",
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
    ]
    argv += ["-smp", str(min(2, os.cpu_count() or 1)), "-m", str(_MEMORY_MIB)]
    argv += ["-kernel", str(found.kernel), "-initrd", str(found.initramfs)]
    argv += ["-append", f"console=ttyS0 share=9p {_KERNEL_OPTIONS}"]
    for tag, folder in (
        ("host", Path("/")),
        ("tools", found.tools),
        ("modules", found.modules),
        ("job", job),
    ):
        path = str(folder).replace(",", ",,")
        access = "" if tag == "job" else ",readonly=on"
        argv += [
            "-virtfs",
            f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap{access}",
        ]
    return argv


def _uml(found: Image, job: Path, tmp: Path) -> list[str]:
    folders = {"host": Path("/"), "tools": found.tools, "modules": found.modules, "job": job}
    for folder in folders.values():
        if " " in str(folder):
            raise UserError(
                f"{folder}: User-Mode Linux takes no folders with spaces; set TBTEST_CACHE and "
                "TMPDIR"
            )
    argv = [
        str(found.kernel),
        f"mem={_MEMORY_MIB}M",
        f"initrd={found.initramfs}",
        f"uml_dir={tmp}/",
    ]
    argv += ["con0=null,fd:1", "con=null", "ssl=null", "share=hostfs", *_KERNEL_OPTIONS.split()]
    return [*argv, *(f"{name}={folder}" for name, folder in folders.items())]
