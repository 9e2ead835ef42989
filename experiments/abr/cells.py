"""One checkpoint against MPC that is tuned on each set: every test set on every video.

    python -m experiments.abr.cells DATA judged.json --network mlp-127-2

judged.json is what `judge` wrote for the same DATA. In each cell robustMPC plays with every
combination of `MPC` and the best one on that very set is taken, which no one can know beforehand.
QoE is linear; differences are paired by trace, with 95 % intervals bootstrapped over recordings;
p5 is the 5th percentile over traces.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from policy.tasks.abr.bandwidth import Floats, find_bandwidths, pack
from policy.tasks.abr.evaluate import make_policy, mean_ci95
from policy.tasks.abr.play import play
from policy.tasks.abr.session import start
from policy.tasks.abr.video import read_video

CHUNKS = 48
SETS = ("ghent-4g", "fcc-51", "norway-3g", "lumos4g", "oboe-428-even", "puffer-test")
VIDEOS = ("envivio", "bbb", "ssb", "bbb4k")
MPC = tuple(
    f"robust-mpc:prior_error={prior:g},factor={factor:g}"
    for prior, factor in itertools.product((0.0, 0.3), (0.8, 0.9, 1.0))
)


def tuned(data: Path, test_set: str, video_name: str) -> tuple[str, Floats]:
    """The best of `MPC` on this set and video, and its QoE [traces]."""
    video = read_video(data / "videos" / f"{video_name}.json").clipped(CHUNKS)
    traces = pack(find_bandwidths(str(data / "test" / test_set)))
    found = {rule: play(make_policy(rule), start(video, traces)).qoe for rule in MPC}
    best = max(found, key=lambda rule: float(found[rule].mean()))
    return best, found[best]


def main() -> None:
    parser = argparse.ArgumentParser(description="Print a checkpoint against tuned MPC.")
    parser.add_argument("data", type=Path)
    parser.add_argument("judged", type=Path)
    parser.add_argument("--network", action="append", required=True, help="repeatable")
    args = parser.parse_args()
    judged = json.loads(args.judged.read_text())
    titles = " | ".join(f"{name}, less MPC | p5" for name in args.network)
    print(f"| set, video | tuned MPC | p5 | {titles} |")
    print("|---|---|---|" + "---|---|" * len(args.network))
    better = dict.fromkeys(args.network, 0)
    for test_set, video in itertools.product(SETS, VIDEOS):
        rule, mpc = tuned(args.data, test_set, video)
        names = [one.recording for one in find_bandwidths(str(args.data / "test" / test_set))]
        row = f"| {test_set}, {video} | {mpc.mean():.3f} ({rule.partition(':')[2]}) "
        row += f"| {np.percentile(mpc, 5):.3f} |"
        for name in args.network:
            own = np.array(judged["qoe"][name][test_set][video])
            interval = mean_ci95(own - mpc, names)
            bounds = "" if interval is None else f" [{interval[0]:+.3f}, {interval[1]:+.3f}]"
            row += f" {(own - mpc).mean():+.3f}{bounds} | {np.percentile(own, 5):.3f} |"
            better[name] += int(own.mean() > mpc.mean())
        print(row, flush=True)
    cells = len(SETS) * len(VIDEOS)
    for name, count in better.items():
        print(f"{name}: better in {count} of {cells} cells")


if __name__ == "__main__":
    main()
