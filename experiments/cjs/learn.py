"""Trains one kind of network on the teacher's labels, as `tbtest train --task cjs` does, with the
settings of docs/results/cjs.md.

    python -m experiments.cjs.learn --labels labels more --kind nioka --seeds 0 1 --out trained

Kinds: nioka (the first 8 blocks of SmolLM2-135M with adapters), random (the same blocks with random
weights), and gru, mlp, transformer and direct with the same encoder and head.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from policy.tasks.cjs.dataset import CjsDataset
from policy.training.config import TrainConfig, load_config
from policy.training.run import train
from policy.training.trainer import Progress

_FIRST_STEPS, _LOOK_S = 20, 12.0
"""What the speed is taken from: at least so many steps, and so long."""

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
    parser.add_argument(
        "--seconds", type=float, help="as many of the steps of a seed as fit into this time"
    )
    args = parser.parse_args()
    labels = CjsDataset(*args.labels)
    for seed in args.seeds:
        began = time.monotonic()
        folder = args.out / f"{args.kind}-{seed}"
        steps = args.steps
        if args.seconds is not None:
            steps = _fitting(labels, args, seed, args.out / f"{args.kind}-{seed}-speed")
        train(labels, _config(args, seed, steps), folder, on_progress=_shown(args.kind, seed))
        print(f"{folder}: {steps} steps, {time.monotonic() - began:.0f} s", flush=True)


def _config(args: argparse.Namespace, seed: int, steps: int) -> TrainConfig:
    settings = [
        f"seeds=[{seed}]",
        f"max_steps={steps}",
        f"batch_size={args.batch}",
        f"micro_batch={args.batch}",
        f"evaluate_every={max(1, steps // 16)}",
        "patience=1000",
        f"learning_rate={5e-4 if args.kind in ('nioka', 'random') else 1e-3}",
        f"warmup_steps={min(200, steps // 10)}",
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
        if progress.step % 200 == 0:
            print(
                f"{kind} {seed}: step {progress.step}, loss {progress.loss:.4f}, "
                f"validation {progress.validation_loss:.4f}, {time.monotonic() - began:.0f} s",
                flush=True,
            )

    return show


def _fitting(labels: CjsDataset, args: argparse.Namespace, seed: int, folder: Path) -> int:
    """Steps that fit into `args.seconds`, by the speed of the first ones; a tenth of the time is
    for validation.
    """
    times: list[float] = []
    began = time.monotonic()

    def note(number: int, progress: Progress) -> None:
        times.append(time.monotonic())
        if len(times) > _FIRST_STEPS and times[-1] - began > _LOOK_S:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        train(labels, _config(args, seed, args.steps), folder, on_progress=note)
    step_s = (times[-1] - times[len(times) // 2]) / max(1, len(times) - 1 - len(times) // 2)
    left_s = args.seconds - (times[-1] - began)
    fitting = int(0.9 * left_s / max(step_s, 1e-6))
    return max(1, min(int(args.steps), fitting))


class _EnoughError(Exception):
    """The speed is known."""


if __name__ == "__main__":
    main()
