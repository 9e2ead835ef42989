"""Compiling away from the server: `python -m policy.nioka.compiled CHECKPOINT DEVICE VARIANT` fills a cache.

Inside the policy server, beside gRPC, PyTorch's compiler once ended with a segmentation fault. So a process of its
own, in which gRPC is never imported, compiles; the server then reads what was compiled from the cache on disk, and
starts no compile workers.
"""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
from pathlib import Path

from policy.nioka.errors import ModelError
from policy.nioka.weights import cache_root

COMPILED = ("compile", "compile-broadcast", "autotune")
"""Engine variants that need this."""


def use_cache() -> Path:
    """Make this process's compiler keep its results in the user's cache folder, unless its own variable says where.

    To be called before anything is compiled.
    """
    return Path(os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_root() / "compiled")))


def prepare(folder: Path, device: str, variant: str) -> None:
    """Compile for a checkpoint in a process of its own; this one will find the results.

    Raises:
        ModelError: the process failed; with the end of what it said.
    """
    use_cache()
    done = subprocess.run(
        [sys.executable, "-m", "policy.nioka.compiled", str(folder), device, variant],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise ModelError(f"compiling {folder} ended with status {done.returncode}: {done.stderr[-3000:]}")
    faulthandler.enable()  # should it happen again, the log says where
    import torch._inductor.config as inductor

    inductor.compile_threads = 1


def main(folder: str, device: str, variant: str) -> None:
    """Build and run the engine once, for what the compiler keeps of it."""
    faulthandler.enable()
    use_cache()
    from policy.nioka import checkpoint
    from policy.nioka.engine import make_engine

    make_engine(checkpoint.load(Path(folder))[0], device, variant).warm_up()


if __name__ == "__main__":
    main(*sys.argv[1:])
