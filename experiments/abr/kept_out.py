"""Networks against robustMPC on the recordings that training kept out: what chooses a checkpoint.

    python -m experiments.abr.kept_out DATA judged.json --network mlp-general-1 --against committee

judged.json is what `judge --kept-out` wrote for the same DATA. At each speed and on each video the
difference of QoE (linear, Mbit/s) to robustMPC, to robustMPC tuned on these very recordings, and to
the networks of `--against`, paired, with 95 % intervals bootstrapped over recordings. `--rules`
names a file that keeps what the rules reached.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.abr.cells import CHUNKS, MPC, PLAIN, tuned
from experiments.abr.judge import FASTER
from experiments.abr.networks import TOP_MBPS, Qoe, validation
from policy.tasks.abr.bandwidth import Bandwidth, Floats, find_bandwidths, pack
from policy.tasks.abr.evaluate import make_policy, mean_ci95
from policy.tasks.abr.play import play
from policy.tasks.abr.session import start
from policy.tasks.abr.training.material import split
from policy.tasks.abr.video import read_video

KEPT_OUT = ("train-127/*", "puffer-train/*")


def rules_of(
    data: Path, kept_out: list[Bandwidth], kept: Path | None
) -> dict[str, dict[str, list[float]]]:
    """QoE of every rule of `MPC` by speed and video, read from `kept` where it is there already."""
    known: dict[str, dict[str, list[float]]] = {}
    if kept is not None and kept.is_file():
        known = json.loads(kept.read_text())
    for times in (1, *FASTER):
        traces = pack([replace(one, rates_mbps=one.rates_mbps * times) for one in kept_out])
        for name in TOP_MBPS:
            if f"{times} {name}" in known:
                continue
            video = read_video(data / "videos" / f"{name}.json").clipped(CHUNKS)
            known[f"{times} {name}"] = {
                rule: play(make_policy(rule), start(video, traces)).qoe.tolist() for rule in MPC
            }
            if kept is not None:
                kept.write_text(json.dumps(known))
    return known


def shown(difference: Floats, recordings: list[str]) -> str:
    low, high = mean_ci95(difference, recordings) or (np.nan, np.nan)
    return f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Print networks on what training kept out.")
    parser.add_argument("data", type=Path)
    parser.add_argument("judged", type=Path, nargs="+")
    parser.add_argument("--network", action="append", required=True, help="repeatable")
    parser.add_argument("--against", action="append", default=[], help="a network; repeatable")
    parser.add_argument("--rules", type=Path, help="file that keeps what the rules reached")
    args = parser.parse_args()
    judged: dict[str, Qoe] = {}
    for file in args.judged:
        judged |= json.loads(file.read_text())["qoe"]
    kept_out = split(find_bandwidths(*(str(args.data / one) for one in KEPT_OUT)))[1]
    recordings = [one.recording for one in kept_out]
    rules = rules_of(args.data, kept_out, args.rules)
    for network in args.network:
        print(f"\n{network}: {validation(judged[network]):.4f} of the top bitrate\n")
        titles = " | ".join(f"less {one}" for one in args.against)
        print(f"| rates, video | less robust-mpc | less it, tuned | {titles} |")
        print("|---" * (3 + len(args.against)) + "|")
        for times in (1, *FASTER):
            name = "kept-out" if times == 1 else f"kept-out-{times}"
            for video in TOP_MBPS:
                played = rules[f"{times} {video}"]
                own = np.array(judged[network][name][video])
                others = [np.array(played[PLAIN]), np.array(played[tuned(played)])]
                others += [np.array(judged[one][name][video]) for one in args.against]
                cells = " | ".join(shown(own - other, recordings) for other in others)
                print(f"| {times}, {video} | {cells} |")


if __name__ == "__main__":
    main()
