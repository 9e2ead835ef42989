"""Where the guest kernel's source comes from: Debian's package, or a folder that the user names."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import UserError

_PACKAGE = re.compile(r"^(linux-source-\d+\.\d+)\b", re.MULTILINE)
_CANDIDATE = re.compile(r"^\s*Candidate: (\S+)", re.MULTILINE)
_ELSE = "or name a kernel's source with --kernel-source DIR"
# What no User-Mode Linux needs, 400 MB. Kconfig files of all kinds are read, so those stay.
_UNNEEDED = ("*/drivers/gpu/drm/amd/include", "*/tools/testing", "*/sound/*.c")


@dataclass(frozen=True)
class Source:
    """A kernel's source. ``identity`` is text that changes with its content; ``unpack(folder)``
    returns the tree, laid into the folder if it does not lie on disk already.
    """

    identity: str
    unpack: Callable[[Path], Path]


def newest(names: Sequence[str]) -> str:
    """Of package names such as linux-source-6.12 the one of the newest version."""
    return max(names, key=lambda name: [int(part) for part in name.rsplit("-", 1)[1].split(".")])


def package() -> Source:
    """The newest linux-source package that apt offers. Raises UserError where there is none."""
    names = _PACKAGE.findall(_apt("apt-cache", "search", "--names-only", "^linux-source-[0-9.]+$"))
    if not names:
        raise UserError(f"apt offers no linux-source package; run apt-get update as root, {_ELSE}")
    name = newest(names)
    found = _CANDIDATE.search(_apt("apt-cache", "policy", name))
    if found is None:
        raise UserError(f"apt offers no version of {name}; run apt-get update as root, {_ELSE}")
    return Source(f"{name} {found[1]}", lambda folder: _unpack_package(name, found[1], folder))


def _unpack_package(name: str, version: str, folder: Path) -> Path:
    _apt("apt-get", "download", f"{name}={version}", folder=folder)
    (archive,) = folder.glob("*.deb")
    _run(["dpkg-deb", "-x", archive.name, "package"], folder)
    archive.unlink()
    excludes = [f"--exclude={pattern}" for pattern in _UNNEEDED]
    _run(["tar", "-xf", f"package/usr/src/{name}.tar.xz", *excludes], folder)
    return folder / name


def tree(folder: Path) -> Source:
    """A kernel's source that lies on disk; it is read only. Raises UserError."""
    folder = folder.expanduser().resolve()
    if not (folder / "arch" / "um" / "Kconfig").exists():
        raise UserError(f"--kernel-source {folder}: no source of a Linux kernel (no arch/um)")
    if (folder / ".config").exists():
        raise UserError(f"--kernel-source {folder}: it was built in; run `make mrproper` there")
    digest = hashlib.sha256()
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - {".git"})
        for name in sorted(files):
            status = (Path(path) / name).lstat()
            digest.update(f"{path}/{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return Source(f"{folder} {digest.hexdigest()}", lambda _: folder)


def _apt(*argv: str, folder: Path | None = None) -> str:
    """Standard output of an apt command. Raises UserError with its last complaint."""
    try:
        return _run(argv, folder)
    except FileNotFoundError as error:
        raise UserError(f"{argv[0]} is missing: this is no Debian or Ubuntu; {_ELSE}") from error


def _run(argv: Sequence[str], folder: Path | None) -> str:
    # Complaints in English: the last one is shown.
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if line.strip()] or ["failed"]
        raise UserError(f"{' '.join(argv)}: {complaints[-1]}; check network and disk, {_ELSE}")
    return done.stdout
