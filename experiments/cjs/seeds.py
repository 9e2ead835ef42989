"""Several trainings of one kind of network on the same sequences, as one row of a table.

    python -m experiments.cjs.seeds direct-0.json direct-1.json ...

Reads what `experiments.cjs.compare --json` wrote, one checkpoint a file. Ratios are of each
sequence's mean over the trainings, paired by sequence; the range is of the single trainings.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from policy.tasks.cjs.comparison import paired_ratio
from policy.tasks.cjs.job import FloatArray

REFERENCES = ("cap", "fair", "weighted-fair")


def main() -> None:
    parser = argparse.ArgumentParser(description="One row for several seeds.")
    parser.add_argument("files", type=Path, nargs="+", metavar="JSON")
    args = parser.parse_args()
    print(row(args.files))


def row(files: list[Path]) -> str:
    """Mean JCT in s, then ratio, 95 % interval and range over trainings for each reference."""
    times_s = [read(file) for file in files]
    ours = np.array([list(of.values())[-1] for of in times_s])
    cells = [f"{ours.mean():.1f}"]
    for name in REFERENCES:
        base = times_s[0][name]
        ratio = paired_ratio(ours.mean(axis=0), base)
        each = [paired_ratio(one, base).ratio for one in ours]
        interval = "" if ratio.low is None else f" [{ratio.low:.3f}, {ratio.high:.3f}]"
        cells.append(f"{ratio.ratio:.3f}{interval} ({min(each):.3f} to {max(each):.3f})")
    return f"| {len(files)} | {' | '.join(cells)} |"


def read(file: Path) -> dict[str, FloatArray]:
    """Mean JCT in s of each sequence, by scheduler, the checkpoint last."""
    record = json.loads(file.read_text())["mean_jct_s"]
    return {name: np.array(values) for name, values in record.items()}


if __name__ == "__main__":
    main()
