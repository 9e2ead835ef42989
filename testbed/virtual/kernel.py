"""The guest's kernel: found in the cache, or built once from its source."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.errors import UserError, explain
from testbed.virtual import config, datapath, modules, relay, source

_PROGRAM, _ENTROPY, _ABOUT = "linux", "entropy.so", "kernel.json"
_SCRATCH = "build-"
_TOOLS = {
    "make": "make",
    "gcc": "gcc",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "ld": "binutils",
    "xz": "xz-utils",
}
_SAY_EVERY_S = 10.0
_BUILD_BYTES = 3e9
# Whoever builds, and whenever: the same bytes.
_PLAIN = {
    "KBUILD_BUILD_USER": "tbtest",
    "KBUILD_BUILD_HOST": "tbtest",
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 2026",
    "KBUILD_BUILD_VERSION": "1",
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class Kernel:
    """A kernel that is ready to boot. ``version``: as uname says it; ``source``: what it was built
    from; ``configuration_sha256``: see `config.configuration_sha256`.
    """

    folder: Path
    version: str
    source: str
    configuration_sha256: str
    build_s: float = 0.0

    @property
    def program(self) -> Path:
        """The kernel, a program."""
        return self.folder / _PROGRAM

    @property
    def entropy(self) -> Path:
        """The library with a seeded getrandom."""
        return self.folder / _ENTROPY

    @property
    def modules(self) -> list[Path]:
        """What every guest loads."""
        return [self.folder / name for name in modules.NAMES]


def cache() -> Path:
    """Where kernels are kept: $TBTEST_CACHE/kernels, else ~/.cache/tbtest/kernels."""
    chosen = os.environ.get("TBTEST_CACHE") or Path.home() / ".cache" / "tbtest"
    return Path(chosen).absolute() / "kernels"


def cache_key(identity: str) -> str:
    """The name in the cache of the kernel that is built from a source of this identity."""
    digest = hashlib.sha256(f"{identity}\n{config.configuration_sha256()}\n".encode())
    for path in (_entropy_source(), *relay.sources(), *datapath.sources()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cached() -> Kernel | None:
    """The newest kernel in the cache that was built from a package with today's configuration."""
    found = [_read(about.parent) for about in cache().glob(f"*/{_ABOUT}")]
    fitting = [
        kernel
        for kernel in found
        if kernel is not None
        and kernel.source.startswith("linux-source-")
        and kernel.folder.name == cache_key(kernel.source)
    ]
    return max(fitting, key=lambda kernel: _numbers(kernel.version), default=None)


def ready(named: Path | None, say: Callable[[str], None]) -> Kernel:
    """The kernel to boot: from the folder ``named``, else from the cache, else from the newest
    package; built if it must be. ``say`` takes lines of progress. Raises UserError.
    """
    if named is None and (kernel := cached()) is not None:
        return kernel
    wanted = source.tree(named) if named is not None else source.package()
    with _locked():
        folder = cache() / cache_key(wanted.identity)
        return _read(folder) or _build(wanted, folder, say)


def build_modules(
    make: Sequence[str], work: Path, run: Callable[[Sequence[str]], None]
) -> list[Path]:
    """See `datapath.build`; of all modules."""
    return [relay.build(make, work, run), *datapath.build(make, work, run)]


def missing_tools() -> list[str]:
    """Debian packages of the programs that a build needs and that are not here."""
    return [package for program, package in _TOOLS.items() if shutil.which(program) is None]


def _read(folder: Path) -> Kernel | None:
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        return Kernel(folder, **about)
    except (OSError, ValueError, TypeError):
        return None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split("-")[0].split(".") if part.isdigit()]


@contextmanager
def _locked() -> Iterator[None]:
    """One build at a time: a second run waits for it. What a killed one left is removed."""
    try:
        cache().mkdir(parents=True, exist_ok=True)
        with (cache() / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for stale in cache().glob(f"{_SCRATCH}*"):
                shutil.rmtree(stale, ignore_errors=True)
            yield
    except OSError as error:
        raise UserError(f"{explain(error, cache())}; set TBTEST_CACHE to another folder") from error


def _build(wanted: source.Source, folder: Path, say: Callable[[str], None]) -> Kernel:
    if lacking := missing_tools():
        raise UserError(
            "virtual time builds a kernel once, which needs more programs; run: sudo apt-get "
            f"install {' '.join(lacking)}"
        )
    if shutil.disk_usage(cache()).free < _BUILD_BYTES:
        raise UserError(
            f"{cache()}: building a kernel takes {_BUILD_BYTES / 1e9:.0f} GB for a while; free "
            "some space, or set TBTEST_CACHE to another folder"
        )
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=cache()) as scratch:
        work = Path(scratch)
        say(f"building a kernel for virtual time, once, from {wanted.identity}")
        tree = wanted.unpack(work)
        built, made = work / "built", work / "made"
        built.mkdir()
        made.mkdir()
        (work / "config").write_text(config.fragment())
        (work / "Kconfig").write_text(config.top_kconfig((tree / "Kconfig").read_text()))
        make = ["make", "-C", str(tree), "ARCH=um", f"O={built}", f"KBUILD_KCONFIG={work}/Kconfig"]
        _make([*make, f"KCONFIG_ALLCONFIG={work}/config", "allnoconfig"], work, say)
        if lost := config.lacking((built / ".config").read_text()):
            raise UserError(f"{wanted.identity}: this kernel lacks {', '.join(lost)}; take another")
        make.append(f"-j{os.cpu_count() or 1}")
        _make([*make, _PROGRAM, "modules"], work, say)
        built_modules = build_modules(make, work, lambda argv: _make(argv, work, say))
        version = (built / "include/config/kernel.release").read_text().strip()
        shutil.copy(built / _PROGRAM, made / _PROGRAM)
        for module in built_modules:
            shutil.copy(module, made)
        subprocess.run(["strip", made / _PROGRAM], check=True)
        library = ["gcc", "-O2", "-shared", "-fPIC", "-o", f"{made / _ENTROPY}"]
        subprocess.run([*library, str(_entropy_source())], check=True)
        seconds = time.monotonic() - begun
        kernel = Kernel(
            folder, version, wanted.identity, config.configuration_sha256(), round(seconds, 1)
        )
        about = {key: value for key, value in asdict(kernel).items() if key != "folder"}
        (made / _ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    say(f"built Linux {version} in {seconds / 60:.1f} minutes; it stays in {folder}")
    return kernel


def _make(argv: Sequence[str], work: Path, say: Callable[[str], None]) -> None:
    """Run make, and say now and then how many files it has compiled. Raises UserError with its
    first error.
    """
    log = work / "make.log"
    compiled, said = 0, time.monotonic()
    with log.open("w") as errors:
        process = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **_PLAIN},
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                compiled += line.startswith("  CC ")
                if time.monotonic() - said >= _SAY_EVERY_S:
                    said = time.monotonic()
                    say(f"building the kernel: {compiled} files compiled")
        except BaseException:
            os.killpg(process.pid, 15)
            raise
        finally:
            process.wait()
    if process.returncode:
        complaints = [line for line in log.read_text().splitlines() if "rror" in line] or ["failed"]
        raise UserError(f"building the kernel: {complaints[0]}; name another with --kernel-source")


def _entropy_source() -> Path:
    return Path(__file__).with_name("entropy.c")
