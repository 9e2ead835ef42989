"""Where the time of a decision goes, from the ACK that closes a window to the kernel's new rate.

    sudo python bench/decision_path.py --out /tmp/path -- --cc policy --duration 10s

Runs `tbtest run` with stamps in the agent, the policy server and the LLM's worker
(`bench/stamps/sitecustomize.py`) and prints p50, p95 and p99 of each stage in ms, for each
tier. One flow at a time: windows are known by their number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
STAGES = {
    "close": "",
    "noticed": "the agent wakes, cuts the window's records",
    "encoded": "its sending thread wakes, encodes",
    "arrived": "gRPC to the server",
    "tick": "the server begins its tick",
    "taken": "folds, the light tier answers, APC admits",
    "asking": "the thread of the tier wakes",
    "forward": "the worker wakes",
    "computed": "ONNX Runtime computes",
    "told": "the thread wakes",
    "finishing": "the event loop wakes",
    "put": "the answer is made",
    "writing": "and given to gRPC",
    "received": "gRPC to the agent's thread, decoded",
    "applying": "the agent wakes",
    "applied": "the rate is in the kernel",
}


def ways(stamps: Path, decisions: Path) -> dict[str, list[dict[str, int]]]:
    """Tier -> for each answer the time of each stage it passed, in ns."""
    times: dict[str, dict[int, int]] = defaultdict(dict)
    forwards: list[tuple[str, int]] = []
    for file in sorted(stamps.glob("*.json")):
        for stage, window, at_ns in json.loads(file.read_text(encoding="utf-8")):
            if window < 0:
                forwards.append((stage, at_ns))
            else:
                times[stage].setdefault(window, at_ns)
    inside = {stage: np.array([t for s, t in forwards if s == stage]) for stage in STAGES}
    found: dict[str, list[dict[str, int]]] = defaultdict(list)
    for row in pq.ParquetFile(decisions).read().to_pylist():
        tier, window = row["tier"], row["window"]
        if tier == "local" or not row["close_ack_ns"]:
            continue
        way = {"close": row["close_ack_ns"], "applied": row["applied_ns"]}
        for stage in list(STAGES)[1:-1]:
            at_ns = times.get(f"{stage}:{tier}", times.get(stage, {})).get(window)
            if at_ns is None and tier == "llm" and {"asking", "told"} <= {*_of(times, window)}:
                start, end = times["asking:llm"][window], times["told:llm"][window]
                within = inside[stage][(inside[stage] > start) & (inside[stage] < end)]
                at_ns = int(within[0]) if len(within) else None
            if at_ns is not None:
                way[stage] = at_ns
        found[tier].append(way)
    return found


def _of(times: dict[str, dict[int, int]], window: int) -> list[str]:
    return [stage.split(":")[0] for stage, of in times.items() if window in of]


def table(way: list[dict[str, int]]) -> str:
    """The stages of a tier: how long each took, and the whole."""
    lines = ["| stage | p50 | p95 | p99 | most |", "|---|---:|---:|---:|---:|"]
    present = [stage for stage in STAGES if sum(stage in one for one in way) > len(way) // 2]
    for before, stage in pairwise(present):
        spans = [one[stage] - one[before] for one in way if stage in one and before in one]
        lines.append(f"| {stage}: {STAGES[stage]} | {_quantiles(spans)} |")
    whole = [one["applied"] - one["close"] for one in way if "applied" in one]
    lines.append(f"| **the whole**, {len(whole)} answers | {_quantiles(whole)} |")
    return "\n".join(lines)


def _quantiles(spans_ns: list[int]) -> str:
    return " | ".join(f"{q / 1e6:.2f}" for q in np.quantile(spans_ns, (0.5, 0.95, 0.99, 1)))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("run", nargs="*", help="arguments of `tbtest run`, behind --")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    stamps = out / "stamps"
    stamps.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(HERE / "stamps")}
    environment["TBTEST_STAMPS"] = str(stamps)
    command = [sys.executable, "-P", "-m", "testbed", "run", *arguments.run]
    subprocess.run([*command, "--out", str(out / "run")], env=environment, check=True)
    decided = sorted((out / "run" / "cells").glob("*/decisions.parquet"))
    assert len(decided) == 1, "one cell with a policy at a time"
    for tier, way in sorted(ways(stamps, decided[0]).items()):
        print(f"\n{tier}\n\n{table(way)}")


if __name__ == "__main__":
    main()
