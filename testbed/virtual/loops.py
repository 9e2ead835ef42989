"""The policies' compiled loops, kept for guests: compiled outside, on all cores, and before the
first run, so that no run differs from the next by compiling.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import policy
from policy.python import python_command
from testbed.errors import UserError

_DONE = "compiled"
_CPU = Path("/proc/cpuinfo")


def compiled(kept: Path, say: Callable[[str], None]) -> Path:
    """The folder in `kept` with the compiled loops of this code on this processor. Raises
    UserError.
    """
    folder = kept / "numba" / _identity()
    if not (folder / _DONE).exists():
        say("compiling the policies' loops for virtual time, once")
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
        done = subprocess.run(
            python_command("policy", "--compile"),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["failed"]
            raise UserError(f"compiling the policies' loops: {lines[-1]}")
        (folder / _DONE).touch()
    return folder


def _identity() -> str:
    """What changes with the code, its compiler and the processor."""
    digest = hashlib.sha256(f"{sys.version} {version('numba')}\n".encode())
    lines = _CPU.read_text(encoding="utf-8").splitlines()
    digest.update(next((line for line in lines if line.startswith("model name")), "").encode())
    root = Path(policy.__file__).parent
    for path in sorted(root.rglob("*.py")):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
