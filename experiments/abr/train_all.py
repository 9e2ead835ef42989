"""Trains every network of the results' page: ours, the language model, its twin and specialists.

    python -m experiments.abr.train_all DATA OUT --minutes 8

DATA holds `train-127`, `puffer-train` and `videos/*.json`, and `smollm2-8` and `smollm2-shape` (the
language model's first blocks, and its configuration alone) where `--llm` is to run. Every run is a
process of `policy.tasks.abr.training` with its log in OUT/NAME.log and its best checkpoint so far
in OUT/NAME.safetensors; `--parallel` of them run at a time, in the order of `runs`. When the time
is over those that still run are ended; what they had saved stays. `--tiny` tests the machinery.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SMALL = "--rounds 14 --sessions 4096 --steps 700 --batch 4096 --keep 5 --learning-rate 0.0015"
WIDE = "--rounds 14 --sessions 6144 --steps 900 --batch 4096 --keep 4 --learning-rate 0.0015"
LLM = "--rounds 6 --sessions 4096 --steps 450 --batch 3072 --keep 3 --learning-rate 0.0005"
PPO = "--method ppo --iterations 300 --sessions 2048 --batch 8192"
TINY = "--rounds 1 --sessions 8 --steps 2 --batch 8 --iterations 1 --horizon 2 --chunks 5"


@dataclass(frozen=True)
class Run:
    """A network to train; it starts when the checkpoint of the run `after` is there."""

    name: str
    sets: tuple[str, ...]
    arguments: str
    after: str = ""
    drawn: int = 0
    llm: bool = False
    seeds: tuple[int, ...] = field(default=(1,))


HSDPA = ("train-127/*",)
GENERAL = ("train-127/*", "puffer-train/*")
# Of train-127: FCC logs begin with `trace_`, those of HSDPA with a vehicle.
MOBILE = tuple(
    f"train-127/{vehicle}.*" for vehicle in ("bus", "car", "ferry", "metro", "train", "tram")
)
BROADBAND = ("train-127/trace_*", "puffer-train/*")


def runs() -> list[Run]:
    """The most wanted first."""
    return [
        Run("mlp-general", GENERAL, WIDE, drawn=5),
        Run("mlp-127", HSDPA, SMALL),
        Run("ppo-127", HSDPA, f"{PPO} --narrow"),
        Run("llm-general", GENERAL, LLM, "mlp-general-1", 5, llm=True),
        Run("llm-random-general", GENERAL, f"{LLM} --random-weights", "mlp-general-1", 5, llm=True),
        Run("gru-general", GENERAL, f"{WIDE} --kind gru", drawn=5),
        Run("llm-127", HSDPA, LLM, "mlp-127-1", llm=True),
        Run("gru-127", HSDPA, f"{SMALL} --kind gru"),
        Run("mlp-127", HSDPA, SMALL, seeds=(2, 3)),
        Run("ppo-127", HSDPA, f"{PPO} --narrow", seeds=(2, 3)),
        Run("mlp-mobile", MOBILE, WIDE, drawn=5),
        Run("mlp-broadband", BROADBAND, WIDE, drawn=5),
        Run("argmax-127", HSDPA, f"{SMALL} --objective argmax", seeds=(1, 2, 3)),
        Run("genet-127", HSDPA, f"{PPO} --curriculum", seeds=(1, 2, 3)),
        Run("return-127", HSDPA, f"{SMALL} --objective return", "mlp-127-1"),
        Run("mlp-general", GENERAL, WIDE, drawn=5, seeds=(2, 3)),
        Run("gru-127", HSDPA, f"{SMALL} --kind gru", seeds=(2, 3)),
        Run("llm-mobile", MOBILE, LLM, "mlp-mobile-1", 5, llm=True),
        Run("llm-broadband", BROADBAND, LLM, "mlp-broadband-1", 5, llm=True),
    ]


def commands(args: argparse.Namespace) -> Iterator[tuple[str, str, list[str]]]:
    """(name, run that must be there first, command) for every run and seed."""
    data, out = args.data, args.out
    videos = ["envivio", "bbb"]
    for run in runs():
        if run.llm and not args.llm:
            continue
        for seed in run.seeds:
            command = [sys.executable, "-m", "policy.tasks.abr.training"]
            for pattern in run.sets:
                command += ["--traces", str(data / pattern)]
            for video in videos if run.drawn else videos[:1]:
                command += ["--video", str(data / "videos" / f"{video}.json")]
            command += [*run.arguments.split(), "--seed", str(seed), "--drawn", str(run.drawn)]
            command += [
                "--device",
                args.device,
                "--out",
                str(out / f"{run.name}-{seed}.safetensors"),
            ]
            if run.after:
                command += ["--teacher", str(out / f"{run.after}.safetensors")]
            if run.llm:
                random = "--random-weights" in run.arguments
                folder = "smollm2-shape" if random else "smollm2-8"
                command += ["--kind", "llm", "--backbone", str(data / folder)]
            if args.tiny:
                command += TINY.split()
            yield f"{run.name}-{seed}", run.after, command


def main() -> int:
    parser = argparse.ArgumentParser(description="Train every network of the results' page.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--llm", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default="", help="runs whose names begin so, by commas")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    begins = tuple(filter(None, args.only.split(","))) or ("",)
    waiting = [one for one in commands(args) if one[0].startswith(begins)]
    planned = {name for name, _, _ in waiting}
    running: dict[str, subprocess.Popen[bytes]] = {}
    ended: dict[str, int] = {}
    began, told = time.monotonic(), 0.0
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    try:
        while waiting or running:
            now = time.monotonic() - began
            if now > args.minutes * 60:
                break
            for name, process in list(running.items()):
                code = process.poll()
                if code is not None:
                    ended[name] = code
                    del running[name]
            for one in list(waiting):
                name, after, command = one
                ready = not after or after in ended or after not in planned
                if ready and len(running) < args.parallel:
                    log = (args.out / f"{name}.log").open("wb")
                    with log:
                        running[name] = subprocess.Popen(
                            command, stdout=log, stderr=subprocess.STDOUT, env=environment
                        )
                    waiting.remove(one)
            if now - told > 15:
                told = now
                print(f"{now:.0f} s: {len(ended)} ended, {len(waiting)} waiting", flush=True)
                for name in running:
                    print(f"  {_last_line(args.out / f'{name}.log')}", flush=True)
            time.sleep(0.5)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    for name in sorted(planned):
        state = f"ended with {ended[name]}" if name in ended else "cut short"
        print(f"{name}: {state}; {_last_line(args.out / f'{name}.log')}")
    return 1 if any(ended.values()) else 0


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return lines[-1] if lines else "nothing yet"


if __name__ == "__main__":
    sys.exit(main())
