"""How long live decisions took, for `testbed/controllers/latency.json`: from the ACK that closed a
window to the answer, by tier and by the number of flows that were answered together.

    tbtest run --cc policy,policy:gcc,policy:persistence --repeats 3 --out live
    python bench/latency.py live --note "two cores, ONNX Runtime, load below 1" > latency.json

Only runs on a machine with little beside them are of use: each line on stderr says how busy it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

QUANTILES = 21
LEAST = 30
"""Answers of a kind, for quantiles."""


def answered(cell: Path) -> dict[tuple[str, int], list[int]]:
    """(tier, flows answered together) -> durations in nanoseconds, of a cell of a live run."""
    rows = pq.ParquetFile(cell / "decisions.parquet").read().to_pylist()
    together: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in rows:
        if row["tier"] != "local" and row["close_ack_ns"] and row["received_ns"]:
            together[row["tier"], row["received_ns"]].append(
                row["received_ns"] - row["close_ack_ns"]
            )
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for (tier, _), durations_ns in together.items():
        found[tier, len(durations_ns)] += durations_ns
    return found


def busy(cell: Path) -> float:
    """Mean share of the machine's cores that were busy during the cell."""
    samples = json.loads((cell / "cell.json").read_text())["cpu"]["samples"]
    return float(np.mean([sample["busy"] for sample in samples])) if samples else float("nan")


def main() -> None:
    """Print the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--note", required=True, help="the machine, and what else it did")
    arguments = parser.parse_args()
    durations_ns: dict[tuple[str, int], list[int]] = defaultdict(list)
    for run in arguments.runs:
        for cell in sorted((run / "cells").iterdir()):
            if not (cell / "decisions.parquet").exists():
                continue
            print(f"{cell}: {busy(cell):.0%} busy", file=sys.stderr)
            for kind, values in answered(cell).items():
                durations_ns[kind] += values
    places = np.linspace(0, 1, QUANTILES)
    tiers: dict[str, dict[int, list[int]]] = defaultdict(dict)
    for (tier, flows), values in sorted(durations_ns.items()):
        if len(values) >= LEAST:
            tiers[tier][flows] = [round(value) for value in np.quantile(values, places)]
    print(json.dumps({"measured": arguments.note, "latency_ns": tiers}, indent=1))


if __name__ == "__main__":
    main()
