"""The relay's queue disciplines against the kernel's own.

    python -m experiments.aqm.compare [--seconds 10] [--seeds 2] [--kind pie] [--out DIR]

Boots a guest in virtual time (see docs/guide/virtual-time.md), in which neither side waits for a
processor, and puts the same load through both: packets on a seeded schedule that fills and drains
the queue by turns, which can be marked or not, and flows whose windows answer to marks. Prints
the share marked or dropped and the p99 of the sojourn time of each, and by how much they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from experiments.aqm.inside import Cell
from policy.python import python_command
from testbed.links.queues import QueueKind
from testbed.system.process import ProcessFailed
from testbed.system.scope import Scope, new_run_id
from testbed.virtual import guest, kernel
from testbed.virtual.run import state_dir

AQMS: tuple[QueueKind, ...] = ("codel", "fq_codel", "pie", "dualpi2")
LOADS = ("reno", "l4s", "open")
_MEMORY_MIB = 1024
_WAIT_S = 3600.0
_CELL = [field.name for field in fields(Cell)]
Rows = list[dict[str, Any]]


def plan(kinds: tuple[QueueKind, ...], seeds: int) -> list[Cell]:
    """Every cell, flows before schedules."""
    cells = []
    for kind in kinds:
        loads = [("reno", True), ("open", True), ("open", False)]
        if kind == "pie":
            loads.append(("reno", False))
        if kind == "dualpi2":  # the kernel's marks whatever it is told, and its hosts ask for it
            loads = [("reno", True), ("l4s", True), ("open", True)]
        cells += [
            Cell(kind, load, ecn, seed) for load, ecn in loads for seed in range(1, seeds + 1)
        ]
    return sorted(cells, key=lambda cell: (LOADS.index(cell.load), cell.seed))


def run(cells: list[Cell], length_s: float) -> Iterator[dict[str, Any]]:
    """Boot a guest that measures the cells; yields its rows as they come. Raises UserError,
    RuntimeError.
    """
    found = kernel.ready(None, print)
    with Scope(new_run_id(), state_dir=state_dir()) as scope:
        folders = {name: scope.tmp / name for name in ("job", "results", "kept")}
        for folder in folders.values():
            folder.mkdir()
        asked = {"cells": [asdict(cell) for cell in cells], "length_s": length_s}
        (folders["job"] / "plan.json").write_text(json.dumps(asked))
        argv = python_command("experiments.aqm.inside")
        start = guest.start_script(guest.environment(os.environ), argv, Path.cwd())
        (folders["job"] / "start").write_text(start)
        init = scope.tmp / "init"
        shutil.copy(Path(guest.__file__).with_name("init.sh"), init)
        init.chmod(0o755)
        booted = guest.command(found, memory_mib=_MEMORY_MIB)
        preload = {"LD_PRELOAD": str(found.entropy), "TBTEST_GUEST_SEED": "1"}
        process = scope.spawn(["env", "-C", str(scope.tmp), *booted], name="guest", env=preload)
        said: list[str] = []
        rows = 0
        with suppress(ProcessFailed):  # at the end of its output
            while True:
                said.append(process.read_line(_WAIT_S).strip())
                if said[-1].startswith("{"):
                    rows += 1
                    yield json.loads(said[-1])
        if rows < 2 * len(cells):
            raise RuntimeError(f"the guest ended early: {' | '.join(said[-5:])}")


def table(rows: Rows) -> str:
    """Markdown: for each kind, load and class of traffic, both sides and how they differ."""
    lines = [
        "| queue | load | marked % | apart % | dropped % | apart % | sojourn p50, ms | p99, ms | "
        "apart % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, load, ecn in dict.fromkeys((row["kind"], row["load"], row["ecn"]) for row in rows):
        same = [row for row in rows if (row["kind"], row["load"], row["ecn"]) == (kind, load, ecn)]
        for name in ("classic", "l4s"):
            sides = [
                [row for row in same if row["where"] == where and name in row]
                for where in ("kernel", "relay")
            ]
            if sides[0]:
                lines.append(_line(kind, load, ecn, name, *sides))
    return "\n".join(lines) + "\n"


def _line(kind: str, load: str, ecn: bool, name: str, ours: Rows, theirs: Rows) -> str:
    sides = (ours, theirs)
    marked = [float(np.mean([row[name]["marked"] for row in side])) for side in sides]
    lost = [float(np.mean([row[name]["dropped"] for row in side])) for side in sides]
    p50 = [float(np.mean([row[name]["p50_ms"] for row in side])) for side in sides]
    p99 = [float(np.mean([row[name]["p99_ms"] for row in side])) for side in sides]
    what = {"open": "schedule", "reno": "flows", "l4s": f"{name} flows"}[load]
    what += ", ECT" if ecn else ", not ECT"
    cells = [kind, what, _pair(marked, 100), _apart(marked), _pair(lost, 100), _apart(lost)]
    return f"| {' | '.join([*cells, _pair(p50, 1), _pair(p99, 1), _apart(p99)])} |"


def _pair(values: list[float], scale: float) -> str:
    return " / ".join(f"{value * scale:.3f}" for value in values)


def _apart(values: list[float]) -> str:
    theirs, ours = values
    return f"{(ours / theirs - 1) * 100:+.1f}" if theirs > 0 else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the relay's queues with the kernel's.")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a schedule; flows take two")
    parser.add_argument("--seeds", type=int, default=2, help="loads of a kind")
    parser.add_argument("--kind", action="append", choices=AQMS, help="only this; repeatable")
    parser.add_argument(
        "--out", type=Path, help="folder for aqm.json and aqm.md; other kinds there stay"
    )
    parser.add_argument("--load", action="append", choices=LOADS, help="only this; repeatable")
    args = parser.parse_args()
    rows: Rows = []
    kept = args.out / "aqm.json" if args.out else None
    if kept is not None and kept.exists():
        rows = json.loads(kept.read_text())
    done = [Cell(**{key: row[key] for key in _CELL}) for row in rows if row["where"] == "relay"]
    cells = plan(tuple(args.kind or AQMS), args.seeds)
    cells = [cell for cell in cells if cell not in done and cell.load in (args.load or LOADS)]
    rows = [row for row in rows if Cell(**{key: row[key] for key in _CELL}) in done]
    for row in run(cells, args.seconds) if cells else ():
        rows.append(row)
        print(f"{row['kind']} {row['load']} {row['where']}", flush=True)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(rows, indent=1) + "\n")
    text = table(rows)
    if kept is not None:
        kept.with_name("aqm.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
