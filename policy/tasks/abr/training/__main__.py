"""Trains one network for adaptive bitrate streaming.

python -m policy.tasks.abr.training --traces DIR --video FILE --out abr.safetensors
python -m policy.tasks.abr.training --dataset FOLDER --out abr.safetensors
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

import torch

from policy.errors import PolicyError
from policy.tasks.abr.learned import KINDS, load_policy, make_net, take_encoder
from policy.tasks.abr.training import dataset
from policy.tasks.abr.training.choosers import LatestCheckpoint
from policy.tasks.abr.training.material import Material, Sources, checked_against
from policy.tasks.abr.training.ppo import PpoSettings, train_ppo
from policy.tasks.abr.training.rounds import Batch, Settings, train

METHODS = ("rounds", "ppo")


class Parser(argparse.ArgumentParser):
    """What is wrong is one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise PolicyError(f"{message}; --help lists all options")


def parser() -> argparse.ArgumentParser:
    """Arguments; settings that both methods have share a flag."""
    made = Parser(description="Train a policy for adaptive bitrate streaming.")
    made.add_argument("--traces", action="append", default=[], help="folder or glob; repeatable")
    made.add_argument("--dataset", type=Path, help="of `tbtest collect --task abr`, in their place")
    made.add_argument("--video", action="append", default=[], help="manifest; repeatable")
    made.add_argument("--chunks", type=int, default=48, help="chunks of each video to play")
    made.add_argument("--drawn", type=int, default=0, help="random ladders in every round")
    made.add_argument("--narrow", action="store_true", help="no scaled traces, no other round trip")
    made.add_argument(
        "--test", action="append", default=[], help="traces that must not be trained on; repeatable"
    )
    made.add_argument(
        "--allow-overlap", action="store_true", help="train although --test holds the recordings"
    )
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--method", choices=METHODS, default="rounds")
    made.add_argument("--kind", choices=KINDS, default="mlp")
    made.add_argument("--unplanned", action="store_true", help="no plans in what it reads")
    made.add_argument("--evened", action="store_true", help="an evened copy of every recording too")
    made.add_argument("--width", type=int, default=128)
    made.add_argument("--layers", type=int, default=8, help="blocks of the language model")
    made.add_argument("--random-weights", action="store_true", help="of the language model")
    made.add_argument("--backbone", help="folder of the language model's weights")
    made.add_argument("--teacher", type=Path, help="checkpoint that values the levels")
    made.add_argument("--begin-with", type=Path, help="checkpoint to go on from")
    made.add_argument("--encoder", type=Path, help="checkpoint whose encoder a new network has")
    made.add_argument("--starts", type=int, help="how often each validation trace is played")
    both: dict[str, Any] = {}
    for settings in (Settings, PpoSettings):
        for field in fields(settings):
            both.setdefault(field.name, field.default)
    for name, value in both.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            made.add_argument(flag, action="store_true")
        else:
            made.add_argument(flag, type=type(value))
    return made


def material_from(
    args: argparse.Namespace,
) -> tuple[Material, dict[str, str], list[Batch] | None]:
    """What is trained on, notes on it for the checkpoint, and the labels of a dataset. Raises
    PolicyError.
    """
    if (args.dataset is None) == (not args.traces):
        raise PolicyError("give --traces, or --dataset of `tbtest collect --task abr`")
    if args.dataset is None:
        sources = Sources(
            args.traces,
            args.video,
            args.chunks,
            args.drawn,
            not args.narrow,
            args.test,
            args.allow_overlap,
            args.evened,
        )
        return *sources.read(args.device), None
    if args.video or args.drawn:
        raise PolicyError("--dataset brings its videos: leave out --video and --drawn")
    read = dataset.read(args.dataset, args.device)
    notes = read.notes | checked_against(read.training, args.test, args.allow_overlap)
    return read.material, notes | {"dataset": args.dataset.name}, read.batches


def run(args: argparse.Namespace) -> float:
    """Trains as asked; returns the score on validation. Raises PolicyError."""
    torch.manual_seed(args.seed or 1)
    torch.set_float32_matmul_precision("high")
    material, notes, labelled = material_from(args)
    if args.starts is not None:
        material = replace(material, starts=args.starts)
    returns = args.objective == "return"
    if args.begin_with is not None:
        net = load_policy(args.begin_with, backbone=args.backbone).net
    else:
        net = make_net(
            args.kind,
            args.width,
            returns,
            not args.random_weights,
            args.layers,
            args.backbone,
            not args.unplanned,
        )
        if args.encoder is not None:
            take_encoder(net, args.encoder)
    kind = Settings if args.method == "rounds" else PpoSettings
    given = {field.name: getattr(args, field.name) for field in fields(kind)}
    given = {name: value for name, value in given.items() if value is not None}
    notes |= {"method": args.method, "objective": args.objective or "", "seed": str(args.seed or 1)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.method == "ppo":
        if labelled is not None:
            raise PolicyError("ppo plays sessions of its own: give --traces, not --dataset")
        if not material.videos:
            raise PolicyError("ppo plays given videos: give --video")
        return train_ppo(net, material, PpoSettings(**given), args.out, args.device, notes)
    teacher = None if args.teacher is None else LatestCheckpoint(args.teacher, args.device)
    return train(net, material, Settings(**given), args.out, args.device, teacher, notes, labelled)


def main() -> int:
    try:
        args = parser().parse_args()
        best = run(args)
    except PolicyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: validation {best:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
