"""A guest: User-Mode Linux, a kernel that runs as a program, with virtual time."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from policy.python import python_command
from testbed.errors import UserError
from testbed.system.clock import VIRTUAL_TIME
from testbed.system.process import ProcessFailed
from testbed.system.scope import Scope
from testbed.virtual.job import OUTCOME, Outcome
from testbed.virtual.kernel import Kernel, cache
from testbed.virtual.loops import compiled
from testbed.virtual.processor import own_processor

START_NS = 1_767_225_600 * 10**9
"""The guest's wall clock at its boot: 2026-01-01, whenever that is."""
_BASE_MEMORY_MIB = 1536
_FLOW_MEMORY_MIB = 200
_HERE = "/proc/self/cwd"
"""The working directory of the kernel, for whose eyes the host's files are."""
# Hash seeds and thread counts are part of what must be the same in every run.
_ENVIRONMENT = {
    VIRTUAL_TIME: "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TMPDIR": "/run/tmp",
    "LANG": "C.UTF-8",
    "NO_COLOR": "1",
    "TERM": "dumb",
    # Python's own, where it still has one, which is a tenth of setuptools' to import: Mininet
    # compares versions with it.
    "SETUPTOOLS_USE_DISTUTILS": "stdlib" if sys.version_info < (3, 12) else "local",
}
# Where programs and the user's own traces and models are found.
_PASSED = ("PATH", "HOME", "PYTHONPATH", "XDG_DATA_HOME", "XDG_CACHE_HOME")


def command(kernel: Kernel, *, memory_mib: int) -> list[str]:
    """The command line that boots the kernel in a working directory with the file ``init`` and the
    folders ``job``, ``results`` and ``kept``.

    It names none of them by a path of this run: the kernel draws random numbers from its command
    line too, and they must be the same in every run.
    """
    return [
        str(kernel.program),
        f"mem={memory_mib}M",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        f"init={_HERE}/init",
        "time-travel=inf-cpu",
        f"time-travel-start={START_NS}",
        # System calls of the guest through seccomp, which is faster; kernels before 6.16 ignore it
        # and use ptrace.
        "seccomp=auto",
        "con0=null,fd:1",
        "con=null",
        "loglevel=0",
        "panic=-1",
        "uml_dir=./",
        "umid=guest",
        f"tbtest_kernel={kernel.configuration_sha256}",
    ]


def environment(base: Mapping[str, str], loops: str = "") -> dict[str, str]:
    """What the guest's programs find in their environment. ``base``: the host's; ``loops``: folder
    of the policies' compiled loops, in the kept one.
    """
    own = {**_ENVIRONMENT, "NUMBA_CACHE_DIR": f"/run/cache/{loops}"} if loops else _ENVIRONMENT
    return {**own, **{key: base[key] for key in _PASSED if key in base}}


def memory_mib(flows: int) -> int:
    """Memory for a run of so many flows; a guest takes of it what it uses."""
    return _BASE_MEMORY_MIB + _FLOW_MEMORY_MIB * flows


def start_script(variables: Mapping[str, str], argv: Sequence[str], folder: Path) -> str:
    """What init runs: the environment, the working directory, and the program."""
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables.items())
    # Through a pipe its output is plain text: the console is a terminal.
    return f"{exports}cd {shlex.quote(str(folder))}\n{shlex.join(argv)} 2>&1 </dev/null | cat\n"


def run(
    scope: Scope,
    kernel: Kernel,
    *,
    job: Path,
    results: Path,
    flows: int,
    policies: bool,
    seed: int,
    say: Callable[[str], None],
) -> Outcome:
    """Boot a guest that does the job in the folder ``job``; returns its outcome. ``policies``:
    whether some decide in it. ``say`` takes the lines that it prints. The guest ends with the
    scope. Raises UserError if it ends too early.
    """
    init = scope.tmp / "init"
    init.write_text(Path(__file__).with_name("init.sh").read_text())
    init.chmod(0o755)
    kept = cache().with_name("guest")
    kept.mkdir(parents=True, exist_ok=True)
    loops = str(compiled(kept, say).relative_to(kept)) if policies else ""
    argv = python_command("testbed.virtual.inside")
    (job / "start").write_text(start_script(environment(os.environ, loops), argv, Path.cwd()))
    for name, folder in (("job", job), ("results", results), ("kept", kept)):
        if not (scope.tmp / name).exists():
            (scope.tmp / name).symlink_to(folder.resolve())
    for module in kernel.modules:
        shutil.copy(module, job)
    preload = {"LD_PRELOAD": str(kernel.entropy), "TBTEST_GUEST_SEED": str(seed)}
    booted = command(kernel, memory_mib=memory_mib(flows))
    processor = scope.enter(own_processor(kept))
    pinned = ["taskset", "-c", str(processor)] if processor is not None else []
    argv = ["env", "-C", str(scope.tmp), *pinned, *booted]
    guest = scope.spawn(argv, name="guest", env=preload)
    said: list[str] = []
    try:
        while True:
            line = guest.read_line(_FOREVER_S).strip()
            said = [*said[-_TAIL_LINES:], line]
            say(line)
    except ProcessFailed:  # at the end of its output
        pass
    try:
        return Outcome.model_validate_json((job / OUTCOME).read_bytes())
    except (OSError, ValueError) as error:
        guest.stop()
        log = guest.log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = (
            " | ".join(line for line in [*said, *log][-_TAIL_LINES:] if line) or "it said nothing"
        )
        raise UserError(
            f"the guest ended before its run: {tail}; `tbtest doctor` says what virtual time "
            f"needs, and its kernel is in {cache()}"
        ) from error


_FOREVER_S = 7 * 86_400.0
_TAIL_LINES = 5
