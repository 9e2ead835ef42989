"""The agent's datapath as modules of the guest's kernel, since User-Mode Linux has no JIT for
eBPF.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.ebpf import loader, module

NAMES = tuple(f"tbtest_{flavour}.ko" for flavour in module.FLAVOURS)
_SHARED = loader.FOLDER
_OWN = _SHARED / "module"


def sources() -> list[Path]:
    """What the modules are made of, headers included."""
    shared = [*_SHARED.glob("*.h"), *_SHARED.glob("*.bpf.c")]
    return [*sorted(shared), *sorted(path for path in _OWN.rglob("*") if path.is_file())]


def build(make: Sequence[str], work: Path, run: Callable[[Sequence[str]], None]) -> list[Path]:
    """Build the modules against the kernel that ``make`` has just built; returns their files.
    ``run`` runs make. Raises UserError.
    """
    folder = work / "datapath"
    shutil.copytree(_OWN, folder)
    for path in sources():
        if path.parent == _SHARED:
            shutil.copy(path, folder)
    run([*make, f"M={folder}", "modules"])
    return [folder / name for name in NAMES]
