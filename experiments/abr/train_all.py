"""Trains every network of the results' page: ours, the language model, its twin and specialists.

    python -m experiments.abr.train_all DATA OUT --minutes 17 --llm

DATA holds `train-127`, `puffer-train` and `videos/*.json`. Every run is a process of
`policy.tasks.abr.training` with its log in OUT/NAME.log and its best checkpoint so far in
OUT/NAME.safetensors. `--parallel` small networks and `--parallel-llm` language models train at a
time, in the order of `runs`, each for a share of the minutes. When the time is over those that
still run are ended; what they had saved stays. `--tiny` tests the machinery.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# A share of the time ends each run; rounds and iterations are more than fit.
SMALL = "--rounds 200 --sessions 2048 --valued 0.5 --steps 400 --batch 4096 --keep 8"
WIDE = "--rounds 200 --sessions 4096 --valued 0.5 --steps 600 --batch 4096 --keep 8 --starts 2"
LLM = "--rounds 200 --sessions 2048 --valued 0.5 --steps 200 --batch 2048 --keep 6 --starts 2"
PPO = "--method ppo --iterations 4000 --sessions 8192 --batch 32768 --group 8 --starts 8"
TINY = (
    "--rounds 1 --sessions 8 --steps 2 --batch 8 --iterations 1 --horizon 2 --chunks 5 --group 2 "
    "--starts 1"
)
# A run that would have a smaller share of the time than this is left out.
LEAST_SHARE = 0.12


@dataclass(frozen=True)
class Run:
    """A network to train for `share` of the time, from `begin` (a share too) on; it starts when the
    checkpoint of the run `after`, its teacher, is there, and reads that anew in every round.
    """

    name: str
    sets: tuple[str, ...]
    arguments: str
    share: float
    after: str = ""
    begin: float = 0.0
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
LADDERS = 6


def runs() -> list[Run]:
    """The most wanted first."""
    rate, starts = "--learning-rate 0.0015", "--starts 8"
    wide, small = f"{WIDE} {rate} --evened", f"{SMALL} {rate} {starts}"
    taught = f"{LLM} --learning-rate 0.001 --teacher-values"
    twin = f"{taught} --random-weights"
    ppo = f"{PPO} --learning-rate 0.0007 --narrow"
    general = "mlp-general-1"
    return [
        Run("mlp-general", GENERAL, wide, 1.0, drawn=LADDERS, seeds=(1, 2)),
        Run("mlp-127", HSDPA, small, 0.5, seeds=(1, 2)),
        Run("llm-general", GENERAL, taught, 0.5, general, 0.5, LADDERS, llm=True),
        Run("ppo-127", HSDPA, f"{ppo} --unplanned", 0.5, begin=0.3),
        Run("ppo-plans-127", HSDPA, ppo, 0.5, begin=0.3),
        # What a page of results compares with these, where there are machines and time for it.
        Run("mlp-general", GENERAL, wide, 1.0, drawn=LADDERS, seeds=(3, 4)),
        Run("mlp-127", HSDPA, small, 0.5, seeds=(3,)),
        Run("mlp-unplanned-127", HSDPA, f"{small} --unplanned", 0.5, seeds=(1, 2, 3)),
        Run("ppo-127", HSDPA, f"{ppo} --unplanned", 0.5, seeds=(2, 3)),
        Run("llm-random-general", GENERAL, twin, 0.6, general, 0.08, LADDERS, llm=True),
        Run("llm-127", HSDPA, taught, 0.4, "mlp-127-1", 0.08, llm=True),
        Run("llm-general", GENERAL, taught, 0.88, general, 0.08, LADDERS, llm=True, seeds=(2,)),
        Run("gru-general", GENERAL, f"{wide} --kind gru", 0.6, drawn=LADDERS),
        Run("gru-127", HSDPA, f"{small} --kind gru", 0.4, seeds=(1, 2, 3)),
        Run("argmax-127", HSDPA, f"{small} --objective argmax", 0.25, seeds=(1, 2, 3)),
        Run("return-127", HSDPA, f"{small} --objective return", 0.2, "mlp-127-1", seeds=(1, 2, 3)),
        Run(
            "genet-127",
            HSDPA,
            f"{PPO} --learning-rate 0.0007 --curriculum --unplanned",
            0.4,
            seeds=(1, 2, 3),
        ),
        Run("mlp-mobile", MOBILE, wide, 0.3, drawn=LADDERS),
        Run("mlp-broadband", BROADBAND, wide, 0.3, drawn=LADDERS),
        Run("llm-mobile", MOBILE, taught, 0.25, general, 0.08, LADDERS, llm=True),
        Run("llm-broadband", BROADBAND, taught, 0.25, general, 0.08, LADDERS, llm=True),
    ]


@dataclass(frozen=True)
class Planned:
    """A run with one seed, as a command without its minutes."""

    run: Run
    name: str
    command: list[str]


def planned(args: argparse.Namespace) -> Iterator[Planned]:
    data, out = args.data, args.out
    videos = ["envivio", "bbb"]
    for run in runs():
        if run.llm and not args.llm:
            continue
        for seed in run.seeds:
            name = f"{run.name}-{seed}"
            command = [sys.executable, "-m", "policy.tasks.abr.training", "--device", args.device]
            command += ["--out", str(out / f"{name}.safetensors"), "--seed", str(seed)]
            for pattern in run.sets:
                command += ["--traces", str(data / pattern)]
            for video in videos if run.drawn else videos[:1]:
                command += ["--video", str(data / "videos" / f"{video}.json")]
            command += [*run.arguments.split(), "--drawn", str(run.drawn)]
            if run.after:
                command += ["--teacher", str(out / f"{run.after}.safetensors")]
            if run.llm:
                # Begins with its teacher's encoder, and so does its random twin.
                command += ["--kind", "llm", "--encoder", str(out / f"{run.after}.safetensors")]
                if args.backbone:
                    command += ["--backbone", args.backbone]
            if args.tiny:
                command += TINY.split()
            yield Planned(run, name, command)


class Pool:
    """Runs as processes: so many small networks and so many language models at a time."""

    def __init__(self, args: argparse.Namespace, waiting: list[Planned]) -> None:
        self.args, self.waiting = args, waiting
        self.running: dict[str, tuple[Planned, subprocess.Popen[bytes]]] = {}
        self.ended: dict[str, int] = {}

    def advance(self, share: float) -> None:
        """Notes what ended and starts what may, at this share of the time."""
        for name, (_, process) in list(self.running.items()):
            code = process.poll()
            if code is not None:
                self.ended[name] = code
                del self.running[name]
        for one in list(self.waiting):
            if 1 - share < LEAST_SHARE:
                self.waiting.remove(one)
            elif self._may_start(one.run, share):
                self._start(one, min(one.run.share, 1 - share))

    def stop(self) -> None:
        for _, process in self.running.values():
            process.terminate()
        for _, process in self.running.values():
            process.wait()

    def last_line(self, name: str) -> str:
        log = self.args.out / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        return lines[-1] if lines else f"{name}: nothing yet"

    def _may_start(self, run: Run, share: float) -> bool:
        alike = sum(one.run.llm == run.llm for one, _ in self.running.values())
        if alike >= (self.args.parallel_llm if run.llm else self.args.parallel):
            return False
        taught = not run.after or (self.args.out / f"{run.after}.safetensors").exists()
        return taught and share >= run.begin

    def _start(self, one: Planned, share: float) -> None:
        minutes = ["--minutes", f"{share * self.args.minutes:.2f}"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with (self.args.out / f"{one.name}.log").open("wb") as log:
            process = subprocess.Popen(
                one.command + minutes, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        self.running[one.name] = (one, process)
        self.waiting.remove(one)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train every network of the results' page.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=17.0)
    parser.add_argument("--parallel", type=int, default=10)
    parser.add_argument("--parallel-llm", type=int, default=4)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--llm", action="store_true")
    parser.add_argument("--backbone", help="folder of the language model, if not the default's")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default="", help="runs whose names begin so, by commas")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    begins = tuple(filter(None, args.only.split(","))) or ("",)
    pool = Pool(args, [one for one in planned(args) if one.name.startswith(begins)])
    names = [one.name for one in pool.waiting]
    began, told = time.monotonic(), 0.0
    # Whoever ends this ends the trainings with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        while pool.waiting or pool.running:
            passed = time.monotonic() - began
            # A little more than a run's own limit, so that each can end by itself.
            if passed > args.minutes * 60 + 10:
                break
            pool.advance(passed / 60 / args.minutes)
            if passed - told > 15:
                told = passed
                print(
                    f"{passed:.0f} s: {len(pool.ended)} ended, {len(pool.running)} running, "
                    f"{len(pool.waiting)} waiting",
                    flush=True,
                )
                for name in pool.running:
                    print(f"  {pool.last_line(name)}", flush=True)
            time.sleep(0.5)
    finally:
        pool.stop()
    for name in names:
        state = f"ended with {pool.ended[name]}" if name in pool.ended else "cut short, or left out"
        print(f"{name}: {state}; {pool.last_line(name)}")
    return 1 if any(pool.ended.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
