"""A short cell for every cause that a diagnosis names, live or in virtual time, and its recording.

    python -m tests.analysis.diagnosis.provoke [--virtual] FOLDER [CAUSE ...]

runs the cells (live: as root) and leaves what the diagnosis reads of each in FOLDER/CAUSE.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from policy.python import python_command

POLICIES = Path(__file__).with_name("provoking.py")
_BULK: dict[str, Any] = {"flow": "bulk", "rtt": "40ms", "buffer": "8bdp", "duration": "5s"}


def _policy(name: str) -> list[str]:
    return [f"policy:{POLICIES}:{name}"]


PROVOKED: dict[str, dict[str, Any]] = {
    "processor starved": {**_BULK, "rate": "4mbit", "cc": ["cubic"], "buffer": "16bdp"},
    "outage": {
        **_BULK,
        "cc": ["cubic"],
        "buffer": "1bdp",
        "steps": [
            {"at": "0s", "rate": "4mbit"},
            {"at": "2s", "rate": "0"},
            {"at": "3500ms", "rate": "4mbit"},
        ],
    },
    "server lost": {
        **_BULK,
        "rate": "4mbit",
        "cc": ["policy:gcc"],
        "failures": [{"kind": "server", "at": "1500ms"}],
        "loss": "0%",
        "steps": [{"at": "0s", "rate": "2mbit"}, {"at": "1500ms", "rate": "12mbit"}],
    },
    "answers slow": {**_BULK, "rate": "4mbit", "cc": _policy("Slow")},
    "answers late": {
        **_BULK,
        "rate": "4mbit",
        "cc": _policy("Greedy"),
        "policy": {"window_ns": 100_000_000, "deadline_ns": 1_000_000},
    },
    "random loss": {**_BULK, "rate": "8mbit", "cc": ["reno"], "loss": "3%"},
    "sender application-limited": {
        **_BULK,
        "flow": "video",
        "rate": "10mbit",
        "cc": ["cubic"],
        "flow_options": {"max_bps": 1e6},
    },
    "competing flow": {
        **_BULK,
        "rate": "6mbit",
        "cc": ["cubic"],
        "cross_traffic": [{"kind": "bulk", "cc": "cubic"}],
    },
    "rate oscillates": {**_BULK, "rate": "4mbit", "cc": _policy("Swinging")},
    "bandwidth overestimated": {**_BULK, "rate": "4mbit", "cc": _policy("Greedy")},
    "bandwidth underestimated": {**_BULK, "rate": "4mbit", "cc": _policy("Shy")},
    "thresholds too strict": {
        **_BULK,
        "flow": "video",
        "cc": _policy("Fitting"),
        # The way becomes longer at once, again and again: the picture stands, no queue does.
        "steps": [
            {"at": f"{700 * turn + 800 * (turn > 0)}ms", "rate": "3mbit", "delay": delay}
            for turn, delay in enumerate(("0ms", "400ms", "0ms", "400ms", "0ms", "400ms"))
        ],
    },
    "bufferbloat": {**_BULK, "rate": "4mbit", "cc": ["cubic"], "buffer": "16bdp"},
    "link idle": {
        **_BULK,
        "rtt": "160ms",
        "buffer": "0.2bdp",
        "cc": ["reno"],
        "steps": [{"at": "0s", "rate": "1mbit"}, {"at": "2s", "rate": "20mbit"}],
    },
}
"""Cause -> the scenario that provokes it."""
LIVE_ALONE = ("processor starved", "server lost", "answers slow", "answers late")
"""Virtual time has no load, no server's process, and no time that computing takes."""


@contextmanager
def _beside(cause: str) -> Iterator[None]:
    """What must go on beside the cell: every core busy, where the processor is to starve."""
    count = 4 * (os.cpu_count() or 1) if cause == "processor starved" else 0
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def provoke(cause: str, folder: Path, *, virtual: bool = False) -> Path:
    """Run the cause's cell into ``folder``; returns it."""
    scenario = {"steps": [], **PROVOKED[cause]}
    if scenario["steps"]:
        scenario.pop("rate", None)
    file = folder.parent / f"{folder.name}.json"
    file.write_text(json.dumps(scenario), encoding="utf-8")
    flags = ["--virtual"] if virtual else []
    with _beside(cause):
        command = python_command("testbed", "run", file, "--out", folder, "--json", *flags)
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return folder


def record(cause: str, run: Path, out: Path) -> None:
    """What a diagnosis reads of a run with one cell, and no more. How busy the processors were is
    left out, but where they are the cause: they may be busy with anything.
    """
    shutil.rmtree(out, ignore_errors=True)
    (out / "traces").mkdir(parents=True)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["environment"] = {}
    _write(out / "manifest.json", manifest)
    for trace in (run / "traces").iterdir():
        shutil.copy(trace, out / "traces")
    (cell,) = (run / "cells").iterdir()
    kept = out / "cells" / cell.name
    kept.mkdir(parents=True)
    about = json.loads((cell / "cell.json").read_text(encoding="utf-8"))
    about["environment"] = {}
    if cause != "processor starved":
        about["cpu"] = {"samples": []}
    for link in about["links"]:
        link["environment"] = {}
    _write(kept / "cell.json", about)
    for name in ("packets", "tcpinfo", "frames", "decisions", "goodput"):
        if (log := cell / f"{name}.parquet").exists():
            table = pq.read_table(log)
            if name == "tcpinfo":
                table = table.select(["flow", "at_ns", "app_limited"])
            pq.write_table(table, kept / log.name, compression="zstd", compression_level=19)


def _write(path: Path, data: dict[str, Any]) -> None:
    """As JSON, without the place of this checkout."""
    text = json.dumps(data).replace(str(POLICIES), POLICIES.name)
    path.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Record the causes named, or all of them."""
    from analysis.diagnosis import diagnose
    from analysis.run import load_run

    virtual = arguments[0] == "--virtual"
    folder, *causes = arguments[virtual:]
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    able = [cause for cause in PROVOKED if not virtual or cause not in LIVE_ALONE]
    for cause in causes or able:
        run = out / f"run-{time.time_ns()}"
        provoke(cause, run, virtual=virtual)
        record(cause, run, out / cause.replace(" ", "-"))
        shutil.rmtree(run)
        run.with_suffix(".json").unlink(missing_ok=True)
        found = diagnose(load_run(out / cause.replace(" ", "-"))).findings
        print(cause, "->", [(each.cause, round(each.share, 2)) for each in found], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
