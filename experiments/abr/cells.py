"""Checkpoints against MPC that is tuned on each set: every test set on every video.

    python -m experiments.abr.cells DATA judged.json --network mlp-127-2 --optima optima.json

judged.json is what `judge` wrote for the same DATA. In each cell robustMPC plays with every
combination of `MPC` and the best one on that very set is taken, which no one can know beforehand;
`--rules` names a file that keeps what they reached. QoE is linear; differences are paired by trace,
with 95 % intervals bootstrapped over recordings; p5 is the 5th percentile over traces. The limit is
what MPC reaches that is told the mean rate of the next 20 s, which nobody can know either. With
`--optima`, of `experiments.abr.optima`, G is the share of the gap between MPC and the optimum that
is closed on the traces of that file: first of tuned MPC, then of robustMPC as it is.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from policy.tasks.abr.bandwidth import Floats, find_bandwidths, pack
from policy.tasks.abr.evaluate import make_policy, mean_ci95
from policy.tasks.abr.play import play
from policy.tasks.abr.session import start
from policy.tasks.abr.video import read_video

CHUNKS = 48
TOLERANCE = 0.005
"""Of the top bitrate; the optimum lies between what its search reached and the bound."""
SETS = ("ghent-4g", "fcc-51", "norway-3g", "lumos4g", "oboe-428-even", "puffer-test")
VIDEOS = ("envivio", "bbb", "ssb", "bbb4k")
MPC = tuple(
    f"robust-mpc:prior_error={prior:g},factor={factor:g}"
    for prior, factor in itertools.product((0.0, 0.3), (0.8, 0.9, 1.0))
)
PLAIN = "robust-mpc:prior_error=0,factor=1"
LIMIT = "oracle-mean"

Cell = tuple[str, str]
"""A test set and a video."""


def play_rules(data: Path, cell: Cell) -> dict[str, list[float]]:
    """QoE of every rule of `MPC`, and of `LIMIT` [traces]."""
    video = read_video(data / "videos" / f"{cell[1]}.json").clipped(CHUNKS)
    traces = pack(find_bandwidths(str(data / "test" / cell[0])))
    return {
        rule: play(make_policy(rule), start(video, traces)).qoe.tolist() for rule in (*MPC, LIMIT)
    }


def rules_of(data: Path, kept: Path | None) -> dict[Cell, dict[str, Floats]]:
    """QoE of every rule in every cell, read from `kept` where it is there already."""
    known = json.loads(kept.read_text()) if kept is not None and kept.is_file() else {}
    for cell in itertools.product(SETS, VIDEOS):
        if LIMIT not in known.get(" ".join(cell), {}):
            known[" ".join(cell)] = play_rules(data, cell)
            if kept is not None:
                kept.write_text(json.dumps(known))
    return {
        (name, video): {rule: np.array(qoe) for rule, qoe in known[f"{name} {video}"].items()}
        for name, video in itertools.product(SETS, VIDEOS)
    }


def tuned(played: Mapping[str, Sequence[float] | Floats]) -> str:
    """Of the rules of `MPC` the one that is best on these very traces."""
    return max(MPC, key=lambda rule: float(np.mean(played[rule])))


def gap_closed(own: Floats, rule: Floats, optima: dict[int, float], least: float) -> float:
    """Of the gap between a rule and the optimum, on the traces whose optimum is known. NaN where
    the mean gap is below ``least``, which the search for the optimum cannot tell from none.
    """
    at = sorted(optima)
    gap = np.array([optima[i] for i in at]) - rule[at]
    return float((own[at] - rule[at]).sum() / gap.sum()) if gap.mean() >= least else np.nan


def main() -> None:
    parser = argparse.ArgumentParser(description="Print checkpoints against tuned MPC.")
    parser.add_argument("data", type=Path)
    parser.add_argument("judged", type=Path, nargs="+")
    parser.add_argument("--network", action="append", required=True, help="repeatable")
    parser.add_argument("--rules", type=Path, help="file that keeps what the rules reached")
    parser.add_argument("--optima", type=Path, help="output of experiments.abr.optima")
    args = parser.parse_args()
    judged: dict[str, dict[str, dict[str, list[float]]]] = {}
    for file in args.judged:
        judged |= json.loads(file.read_text())["qoe"]
    optima: dict[Cell, dict[int, float]] = {}
    for row in json.loads(args.optima.read_text()) if args.optima else []:
        optima.setdefault((row["set"], row["video"]), {})[row["index"]] = row["reached"]
    rules = rules_of(args.data, args.rules)
    titles = " | ".join(f"{name}, less MPC | p5 | G, G of plain" for name in args.network)
    print(f"| set, video | tuned MPC | p5 | limit, less MPC | {titles} |")
    print("|---|---|---|---|" + "---|---|---|" * len(args.network))
    better, low = dict.fromkeys(args.network, 0), dict.fromkeys(args.network, 0)
    closed: dict[str, list[float]] = {name: [] for name in args.network}
    for cell, played in rules.items():
        rule = tuned(played)
        mpc = played[rule]
        names = [one.recording for one in find_bandwidths(str(args.data / "test" / cell[0]))]
        row = f"| {', '.join(cell)} | {mpc.mean():.3f} ({rule.partition(':')[2]}) "
        row += f"| {np.percentile(mpc, 5):.3f} | {(played[LIMIT] - mpc).mean():+.3f} |"
        for name in args.network:
            own = np.array(judged[name][cell[0]][cell[1]])
            interval = mean_ci95(own - mpc, names)
            bounds = "" if interval is None else f" [{interval[0]:+.3f}, {interval[1]:+.3f}]"
            row += f" {(own - mpc).mean():+.3f}{bounds} | {np.percentile(own, 5):.3f} |"
            if cell in optima:
                video = read_video(args.data / "videos" / f"{cell[1]}.json")
                least = TOLERANCE * float(video.bitrates_kbps[-1]) / 1000
                closed[name].append(gap_closed(own, mpc, optima[cell], least))
                plain = gap_closed(own, played[PLAIN], optima[cell], least)
                row += f" {closed[name][-1]:.2f}, {plain:.2f} ({len(optima[cell])}) |"
            else:
                row += " |"
            better[name] += int(own.mean() > mpc.mean())
            low[name] += int(np.percentile(own, 5) >= np.percentile(mpc, 5))
        print(row, flush=True)
    for name, count in better.items():
        print(
            f"{name}: better in {count} of {len(rules)} cells, p5 not below in {low[name]}", end=""
        )
        known = [one for one in closed[name] if not np.isnan(one)]
        print(f", mean G {np.mean(known):.2f} of {len(known)} cells" if known else "")


if __name__ == "__main__":
    main()
