"""Transfer between kinds of network: trained on one, judged on another, without fine-tuning.

    python -m experiments.abr.transfer DATA OUT

DATA is as for `train_all`, with `test/SET/*`. For each family of `TRAINED_ON`, a small network is
trained with each of `SEEDS` (half a minute on a core; what lies in OUT is kept, `--only mobile-1`
trains one and prints nothing), and rules are tuned: both choose on the same validation recordings.
Then all play every set of `CELLS`, or `--most` traces that are drawn of each. QoE is linear, over
the top bitrate of the video, so that videos can be compared; differences are paired by trace, with
95 % intervals bootstrapped over recordings. A network stands for the mean of its seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.abr.cells import MPC
from experiments.abr.train_all import BROADBAND, MOBILE
from policy.tasks.abr.bandwidth import Bandwidth, Floats, find_bandwidths, pack
from policy.tasks.abr.evaluate import make_policy, mean_ci95
from policy.tasks.abr.play import play
from policy.tasks.abr.session import start
from policy.tasks.abr.training.__main__ import parser as training_parser
from policy.tasks.abr.training.__main__ import run as train
from policy.tasks.abr.training.material import split
from policy.tasks.abr.video import Video, read_video

CHUNKS = 48
SEEDS = (1, 2, 3)
_DRAW_SEED = 17
TRAINED_ON = {"mobile": MOBILE, "broadband": BROADBAND}
TRAINING = (
    "--rounds 1 --sessions 160 --steps 200 --batch 512 --learning-rate 0.002 --horizon 12 "
    "--width 64 --device cpu"
)
TINY = "--rounds 1 --sessions 8 --steps 2 --batch 8 --horizon 2 --chunks 5"


@dataclass(frozen=True)
class Cell:
    """A test set of one family, the video that is played on it, and what must be said of it."""

    family: str
    test_set: str
    video: str
    note: str = ""


CELLS = (
    Cell("mobile", "hsdpa-142", "envivio", "same campaign as mobile training"),
    Cell("mobile", "ghent-4g", "bbb4k"),
    Cell("mobile", "lumos4g", "bbb4k"),
    Cell("broadband", "fcc-51", "envivio", "two recordings"),
    Cell("broadband", "puffer-test", "envivio"),
    Cell("broadband", "oboe-428-even", "envivio", "wired, WiFi and cellular"),
    Cell("broadband", "fcc-hd", "bbb4k"),
    Cell("5G", "lumos5g", "bbb4k"),
)


def rules() -> list[str]:
    """Rules that are tuned: robustMPC of `cells`, and BOLA with dash.js's form of parameters."""
    return [
        *MPC,
        *(f"bola:stable_s={stable_s},capped=0,by_size=1" for stable_s in (20, 30, 45)),
    ]


def recordings_of(data: Path, family: str) -> list[Bandwidth]:
    """What the family trains on, validation included."""
    return find_bandwidths(*(str(data / pattern) for pattern in TRAINED_ON[family]))


def qoe_of(policy: str, video: Video, traces: list[Bandwidth]) -> Floats:
    """Linear QoE per chunk over the top bitrate [traces]."""
    top_mbps = float(video.bitrates_kbps[-1]) / 1000
    qoe: Floats = play(make_policy(policy), start(video, pack(traces))).qoe / top_mbps
    return qoe


def train_missing(data: Path, out: Path, only: tuple[str, ...], tiny: bool) -> None:
    """Trains the networks that are not in `out`. Raises PolicyError."""
    for family, patterns in TRAINED_ON.items():
        for seed in SEEDS:
            name = f"{family}-{seed}"
            if (out / f"{name}.safetensors").exists() or (only and name not in only):
                continue
            unfinished = out / f"{name}.part.safetensors"
            arguments = ["--out", str(unfinished), "--seed", str(seed), *TRAINING.split()]
            arguments += ["--video", str(data / "videos" / "envivio.json")]
            for pattern in patterns:
                arguments += ["--traces", str(data / pattern)]
            train(training_parser().parse_args([*arguments, *(TINY.split() if tiny else [])]))
            unfinished.replace(out / f"{name}.safetensors")


def tuned(data: Path, family: str) -> str:
    """The rule of the greatest QoE on the family's validation recordings."""
    video = read_video(data / "videos" / "envivio.json").clipped(CHUNKS)
    held = split(recordings_of(data, family))[1]
    return max(rules(), key=lambda rule: float(qoe_of(rule, video, held).mean()))


def traces_of(data: Path, test_set: str, most: int | None) -> list[Bandwidth]:
    """The set's traces, or `most` of them, drawn with a fixed seed."""
    found = find_bandwidths(str(data / "test" / test_set))
    if most is None or most >= len(found):
        return found
    drawn = np.random.default_rng(_DRAW_SEED).choice(len(found), most, replace=False)
    return [found[i] for i in sorted(drawn)]


def judged(
    data: Path, out: Path, cell: Cell, chosen: dict[str, str], most: int | None
) -> dict[str, Floats]:
    """QoE [traces] in one cell of: networks `net FAMILY`, rules `rule FAMILY` tuned there, and
    `rule here`, of all rules that which is best on this very set.
    """
    video = read_video(data / "videos" / f"{cell.video}.json").clipped(CHUNKS)
    traces = traces_of(data, cell.test_set, most)
    found: dict[str, Floats] = {}
    for family in TRAINED_ON:
        files = [str(out / f"{family}-{seed}.safetensors") for seed in SEEDS]
        by_seed = np.array([qoe_of(file, video, traces) for file in files])
        found[f"net {family}"] = by_seed.mean(axis=0)
        for seed, qoe in zip(SEEDS, by_seed, strict=True):
            found[f"net {family} {seed}"] = qoe
        found[f"rule {family}"] = qoe_of(chosen[family], video, traces)
    by_rule = [qoe_of(rule, video, traces) for rule in rules()]
    found["rule here"] = max(by_rule, key=lambda qoe: float(qoe.mean()))
    return found


def lines(
    data: Path, results: dict[Cell, dict[str, Floats]], most: int | None = None
) -> Iterator[str]:
    """Both tables: QoE, and the paired differences that say what transfer costs."""
    columns = ["net mobile", "net broadband", "rule mobile", "rule broadband", "rule here"]
    yield f"| test set | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for cell, qoe in results.items():
        means = " | ".join(_spread(qoe, column) for column in columns)
        yield f"| {cell.test_set} ({len(qoe['rule here'])}), {cell.video} | {means} |"
    yield ""
    yield (
        "| test set | transferred | less specialist | less rule tuned with it | less rule here |"
    )
    yield "|---|---|---|---|---|"
    for cell, qoe in results.items():
        names = [one.recording for one in traces_of(data, cell.test_set, most)]
        for family in TRAINED_ON:
            if family == cell.family:
                continue
            own = qoe[f"net {family}"]
            specialist = qoe.get(f"net {cell.family}")
            cells = [
                "" if specialist is None else _difference(own - specialist, names),
                _difference(own - qoe[f"rule {family}"], names),
                _difference(own - qoe["rule here"], names),
            ]
            yield f"| {cell.test_set} ({cell.family}) | {family} | {' | '.join(cells)} |"


def _spread(qoe: dict[str, Floats], column: str) -> str:
    means = [qoe[f"{column} {seed}"].mean() for seed in SEEDS if f"{column} {seed}" in qoe]
    seeds = f" ({min(means):.3f} to {max(means):.3f})" if means else ""
    return f"{qoe[column].mean():.3f}{seeds}"


def _difference(pairs: Floats, recordings: list[str]) -> str:
    interval = mean_ci95(pairs, recordings)
    text = f"{pairs.mean():+.3f}"
    return text if interval is None else f"{text} [{interval[0]:+.3f}, {interval[1]:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the transfer matrix.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="train these networks, by commas; no table")
    parser.add_argument("--most", type=int, help="draw so many traces of each test set")
    parser.add_argument("--tiny", action="store_true", help="test the machinery")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    only = tuple(filter(None, args.only.split(",")))
    train_missing(args.data, args.out, only, args.tiny)
    if only:
        return
    chosen = {family: tuned(args.data, family) for family in TRAINED_ON}
    print("tuned: " + "; ".join(f"{family}: {rule}" for family, rule in chosen.items()))
    results = {cell: judged(args.data, args.out, cell, chosen, args.most) for cell in CELLS}
    for line in lines(args.data, results, args.most):
        print(line)
    stored = {
        f"{cell.test_set} {cell.video}": {name: qoe.tolist() for name, qoe in one.items()}
        for cell, one in results.items()
    }
    (args.out / "transfer.json").write_text(json.dumps(stored))


if __name__ == "__main__":
    main()
