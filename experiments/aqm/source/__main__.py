"""The relay's queue disciplines against the kernel's source.

    python -m experiments.aqm.source --kernel ~/linux [--seconds 2000] [--kind pie] [--out FILE]

Takes the disciplines' functions out of a kernel tree (7.3 was tried), compiles them with what they
need of the kernel around them (stand_in.h), and puts the same flows through them and through the
relay's own C. Nothing waits for a processor and a second of 20 Mbit/s takes a few milliseconds, so
that the load can be long enough for differences of a per cent. experiments.aqm.compare shows the
same with the real kernel, for less traffic.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.aqm.source.extract import kernel_functions
from testbed.errors import UserError

_HERE = Path(__file__).parent
_RELAY = Path(__file__).parents[3] / "testbed" / "links" / "relay"
_MODULES = ("queue", "pie", "codel", "fq_codel", "dualpi2", "packet")
KINDS = ("codel", "fq_codel", "pie", "dualpi2")
_FLOWS = 17
Sides = dict[str, list[list[float]]]


def build(kernel: Path, folder: Path) -> Path:
    """The program, in ``folder``. Raises UserError."""
    (folder / "kernel.inc").write_text(kernel_functions(kernel))
    sources = [*(_HERE / f"{name}.c" for name in ("duel", "relay", "kernel"))]
    sources += [_RELAY / f"{name}.c" for name in _MODULES]
    program = folder / "duel"
    # The kernel's own warnings are its own.
    argv = ["gcc", "-std=gnu11", "-O2", "-w", f"-I{_HERE}", f"-I{_RELAY}", f"-I{folder}"]
    done = subprocess.run(
        [*argv, "-o", str(program), *map(str, sources)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{kernel}: does not compile: {done.stderr.strip()[:500]}")
    return program


def run(program: Path, kind: str, *, ecn: bool, l4s: bool, seconds: float, seed: int) -> Sides:
    """Both sides: a list for the plain flows and one for the scalable ones, as duel.c prints it."""
    found = {}
    for side in ("kernel", "relay"):
        options = (KINDS.index(kind), int(ecn), int(l4s), _FLOWS, seconds, seed)
        argv = [str(program), side, *map(str, options)]
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        found[side] = [[float(word) for word in line.split()] for line in text.splitlines()]
    return found


def table(program: Path, kinds: list[str], seconds: float, seed: int) -> str:
    """Markdown: kernel / relay, and how far they are apart."""
    lines = [
        "| queue | flows | packets | marked % | apart % | dropped % | apart % | sojourn p50, ms | "
        "p99, ms | apart % | marked in a row |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in kinds:
        loads = [(True, False), (False, False), *([(True, True)] if kind == "dualpi2" else [])]
        for ecn, l4s in loads:
            sides = run(program, kind, ecn=ecn, l4s=l4s, seconds=seconds, seed=seed)
            for scalable in range(1 + l4s):
                name = ("ECT(0) beside ECT(1)", "ECT(1)")[scalable] if l4s else None
                name = name or ("ECT(0)" if ecn else "not ECT")
                pair = [sides[side][scalable] for side in ("kernel", "relay")]
                lines.append(f"| {kind} | {name} | {_cells(pair)} |")
                print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def _cells(pair: list[list[float]]) -> str:
    marked = [100 * side[1] / side[0] for side in pair]
    lost = [100 * side[2] / (side[0] + side[2]) for side in pair]
    p50, p99 = ([side[place] / 1e3 for side in pair] for place in (3, 4))
    cells = [f"{pair[0][0] / 1e6:.1f} M", _both(marked, 3), _apart(marked), _both(lost, 3)]
    cells += [_apart(lost), _both(p50, 2), _both(p99, 2), _apart(p99)]
    return " | ".join([*cells, _both([side[5] for side in pair], 0)])


def _both(values: list[float], digits: int) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in values)


def _apart(values: list[float]) -> str:
    theirs, ours = values
    return f"{(ours / theirs - 1) * 100:+.1f}" if theirs else "–"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Compare the relay's queues with Linux's source.")
    parser.add_argument("--kernel", type=Path, required=True, help="a kernel tree, 7.3 or near it")
    parser.add_argument("--seconds", type=float, default=2000.0, help="of traffic at 20 Mbit/s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this; repeatable")
    parser.add_argument("--out", type=Path, help="file for the table")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = build(args.kernel, Path(folder))
        except UserError as error:
            sys.exit(f"error: {error}")
        text = table(program, args.kind or list(KINDS), args.seconds, args.seed)
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
