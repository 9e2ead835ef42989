"""Trains one kind of network on the teacher's labels, as `tbtest train --task cjs` does, with the
settings of docs/results/cjs.md.

    python -m experiments.cjs.learn --labels labels more --kind nioka --seeds 0 1 --out trained

Kinds: nioka (the first 8 blocks of SmolLM2-135M with adapters), random (the same blocks with random
weights), and gru, mlp, transformer and direct with the same encoder and head.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from policy.tasks.cjs.dataset import CjsDataset
from policy.training.config import TrainConfig, load_config
from policy.training.run import train
from policy.training.trainer import Progress

KINDS = ("nioka", "random", "gru", "mlp", "transformer", "direct")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train one kind of network to schedule.")
    parser.add_argument("--labels", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--set", dest="more", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seconds", type=float, help="fewer steps if they take longer, each seed")
    args = parser.parse_args()
    labels = CjsDataset(*args.labels)
    for seed in args.seeds:
        began = time.monotonic()
        folder = args.out / f"{args.kind}-{seed}"
        train(labels, _config(args, seed), folder, on_progress=_shown(args.kind, seed))
        print(f"{folder}: {time.monotonic() - began:.0f} s", flush=True)


def _config(args: argparse.Namespace, seed: int) -> TrainConfig:
    settings = [
        f"seeds=[{seed}]",
        f"max_steps={args.steps}",
        f"max_seconds={args.seconds or 'null'}",
        f"batch_size={args.batch}",
        f"micro_batch={args.batch}",
        f"evaluate_every={max(1, args.steps // 40)}",
        "patience=1000",
        f"learning_rate={5e-4 if args.kind in ('nioka', 'random') else 1e-3}",
        f"warmup_steps={min(200, args.steps // 10)}",
    ]
    kind = args.kind
    if kind in ("nioka", "random"):
        settings.append("model.backbone.layers=8")
        if kind == "random":
            settings.append("model.backbone.pretrained=false")
        kind = "nioka"
    return load_config(None, (*settings, *args.more), kind, "cjs")


def _shown(kind: str, seed: int) -> Callable[[int, Progress], None]:
    began = time.monotonic()

    def show(number: int, progress: Progress) -> None:
        if progress.step % 100 == 0:
            print(
                f"{kind} {seed}: step {progress.step}, loss {progress.loss:.4f}, "
                f"validation {progress.validation_loss:.4f}, {time.monotonic() - began:.0f} s",
                flush=True,
            )

    return show


if __name__ == "__main__":
    main()
