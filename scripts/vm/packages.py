"""Debian packages, downloaded once and unpacked into folders of their own; nothing is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import UserError

# Debian's are links into usr/ on the host; a folder of that name laid over it would hide the
# host's.
_MERGED = ("bin", "sbin", "lib", "lib64")


def cache() -> Path:
    """Where downloads are kept: $TBTEST_CACHE/vm, else ~/.cache/tbtest/vm."""
    chosen = os.environ.get("TBTEST_CACHE") or Path.home() / ".cache" / "tbtest"
    return Path(chosen).absolute() / "vm"


def apt(*argv: str, folder: Path | None = None) -> str:
    """Standard output of an apt command. Raises UserError with its last complaint."""
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError(
            f"{argv[0]} is missing: test-vm takes its kernels from Debian's packages"
        ) from error
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [
            "failed"
        ]
        raise UserError(
            f"{' '.join(argv)}: {complaints[-1]}; as root run apt-get update and try again, and "
            "check the network"
        )
    return done.stdout


def image_of(meta: str) -> str:
    """The package with the kernel that a meta package such as linux-image-amd64 stands for."""
    found = re.search(
        r"^\s*Depends: (linux-image-\d\S+)", apt("apt-cache", "depends", meta), re.MULTILINE
    )
    if found is None:
        raise UserError(
            f"apt offers no kernel as {meta}; use a Debian 12 system with its security archive"
        )
    return found[1]


def not_installed(packages: Sequence[str]) -> list[str]:
    """``package=version`` of those and their dependencies that this system lacks."""
    plan = apt("apt-get", "install", "--simulate", "--no-install-recommends", *packages)
    return [
        f"{name}={version}"
        for name, version in re.findall(r"^Inst (\S+) .*?\((\S+)", plan, re.MULTILINE)
    ]


def unpack(packages: Sequence[str], into: Path) -> None:
    """Download packages and lay their files into the folder ``into``. Raises UserError."""
    for name in _MERGED:
        (into / "usr" / name).mkdir(parents=True)
        (into / name).symlink_to(f"usr/{name}")
    if not packages:
        return
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        apt("apt-get", "download", *packages, folder=Path(folder))
        for package in sorted(Path(folder).iterdir()):
            archive = subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
            )
            extract = [
                "tar",
                "--extract",
                "--keep-directory-symlink",
                "--no-same-owner",
                "--exclude=./usr/share/doc",
            ]
            done = subprocess.run(
                [*extract, "--directory", into], stdin=archive.stdout, check=False
            )
            assert archive.stdout is not None
            archive.stdout.close()
            if archive.wait() or done.returncode:
                raise UserError(
                    f"{package.name} could not be unpacked into {into}: is the disk full?"
                )


def require_program(name: str, package: str) -> str:
    """Path of a program; root installs its package where it is missing. Raises UserError."""
    if shutil.which(name) is None:
        command = ["apt-get", "install", "--yes", "--no-install-recommends", package]
        if os.geteuid() != 0:
            raise UserError(f"{name} is missing; run: sudo {' '.join(command)}")
        print(f"test-vm: installing {package}", flush=True)
        apt(*command)
    path = shutil.which(name)
    if path is None:
        raise UserError(f"{package} is installed and {name} is not on PATH")
    return path
