"""The relay as a module of the guest's kernel."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed.errors import UserError

NAME = "tbtest_relay.ko"
_RELAY = Path(__file__).parents[1] / "links" / "relay"
_PROGRAM_ALONE = ("main.c", "spec.c", "log.c")
"""What of the relay's C is about being a program."""
# As the relay's program is compiled, for an address anywhere; floating point too, since this
# kernel is a program.
_COMPILE = shlex.split(
    "gcc -std=gnu11 -O2 -mcmodel=large -fno-pic -fno-pie -fno-stack-protector -fcf-protection=none "
    "-fno-asynchronous-unwind-tables -mincoming-stack-boundary=3 -ffreestanding -r -nostdlib"
)


def _core() -> list[Path]:
    """The relay's own C that the module carries, and what joins it to the kernel's."""
    shared = [path for path in _RELAY.glob("*.c") if path.name not in _PROGRAM_ALONE]
    return [*sorted(shared), _RELAY / "kernel" / "link.c"]


def sources() -> list[Path]:
    """What the module is made of, headers included."""
    return [*_core(), *sorted(_RELAY.glob("*.h")), *sorted((_RELAY / "kernel").iterdir())]


def build(make: Sequence[str], work: Path, run: Callable[[Sequence[str]], None]) -> Path:
    """Build the module against the kernel that ``make`` has just built; returns its file. ``run``
    runs make. Raises UserError.
    """
    folder = work / "module"
    folder.mkdir()
    for path in (_RELAY / "kernel").iterdir():
        shutil.copy(path, folder)
    core = [*_COMPILE, "-o", f"{folder}/core.o", *map(str, _core())]
    done = subprocess.run(core, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"compiling the relay for the kernel: {done.stderr.splitlines()[0]}")
    run([*make, f"M={folder}", "modules"])
    return folder / NAME
