"""The table of networks: every seed that was judged, on the sets that are published or were chosen.

    python -m experiments.abr.networks FOLDER judged.json... --rules rules.json

FOLDER holds `logs/hsdpa-142.parquet` and `traces/hsdpa-142/*`; judged.json is what `judge` wrote,
rules.json what `cells` keeps. One row a network and seed: QoE on the recordings kept for
validation (mean over videos and rates of QoE over the top bitrate), on hsdpa-142 with the
difference to Pensieve-PPO's log, paired, and on other sets; and in how many cells it is ahead of
tuned MPC.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from experiments.abr.anchors import logged
from experiments.abr.cells import SETS, VIDEOS, tuned
from policy.tasks.abr.bandwidth import Floats, find_bandwidths, pack
from policy.tasks.abr.evaluate import mean_ci95

PLACES = (
    ("fcc-51", "envivio"),
    ("oboe-428-even", "envivio"),
    ("oboe-428-even", "ssb"),
    ("puffer-test", "envivio"),
    ("puffer-test", "ssb"),
)
TOP_MBPS = {"envivio": 4.3, "bbb": 6.0, "ssb": 4.3, "bbb4k": 35.0}

Qoe = dict[str, dict[str, list[float]]]
"""By test set and video, one number a trace."""


def validation(qoe: Qoe) -> float:
    """Mean over the videos of the mean QoE over the top bitrate, on what was kept out, at its own
    rates and at several times them.
    """
    kept = [by_video for name, by_video in qoe.items() if name.startswith("kept-out")]
    return float(
        np.mean([np.mean(one[video]) / top for one in kept for video, top in TOP_MBPS.items()])
    )


def ahead(qoe: Qoe, rules: dict[str, dict[str, list[float]]]) -> int:
    """Cells in which it is better than the rule that is best there."""
    return sum(
        np.mean(qoe[name][video])
        > np.mean(rules[f"{name} {video}"][tuned(rules[f"{name} {video}"])])
        for name in SETS
        for video in VIDEOS
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the table of networks.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("judged", type=Path, nargs="+")
    parser.add_argument("--rules", type=Path, required=True)
    args = parser.parse_args()
    found: dict[str, Qoe] = {}
    for file in args.judged:
        found |= json.loads(file.read_text())["qoe"]
    rules = json.loads(args.rules.read_text())
    traces = pack(find_bandwidths(str(args.folder / "traces" / "hsdpa-142")))
    log = logged(args.folder / "logs" / "hsdpa-142.parquet", traces)
    anchor: Floats = next(qoe for name, qoe in log.items() if "ppo" in name)
    titles = " | ".join(", ".join(place) for place in PLACES)
    print(f"| network | kept out | hsdpa-142, less Pensieve-PPO | {titles} | cells |")
    print("|---" * (4 + len(PLACES)) + "|")
    for name in sorted(found, key=lambda one: -validation(found[one])):
        qoe = found[name]
        own = np.array(qoe["hsdpa-142"]["envivio"])
        low, high = mean_ci95(own - anchor, list(traces.recordings)) or (np.nan, np.nan)
        row = f"| {name} | {validation(qoe):.4f} | {own.mean():.3f}, "
        row += f"{(own - anchor).mean():+.3f} [{low:+.3f}, {high:+.3f}] |"
        for test_set, video in PLACES:
            row += f" {np.mean(qoe[test_set][video]):.3f} |"
        print(f"{row} {ahead(qoe, rules)} |")


if __name__ == "__main__":
    main()
