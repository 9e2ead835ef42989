"""Rules, the teacher, the oracle and checkpoints on the same sequences of one side of the split.

    python -m experiments.cjs.compare --profiles jobs.parquet --side validation --teacher \
        --sampled ppo/ --json decides.json

With `--side validation`, 20 sequences and a network trained by PPO this is the test that decides
whether models learn from the teacher: it must be better than the network and the tuned cap by 5 %.
Prints a Markdown table; ratios are paired by sequence.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from policy.tasks.cjs.bounds import lower_bound_ms
from policy.tasks.cjs.comparison import paired_ratio
from policy.tasks.cjs.environment import ClusterEnvironment, may_pass
from policy.tasks.cjs.inputs import proposals
from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies.registry import RULES, RulePolicy
from policy.tasks.cjs.simulator.layout import NOWHERE, Settings
from policy.tasks.cjs.teacher import Teacher, teach
from policy.tasks.cjs.workload import LOAD, as_live, over, with_noise, workload

RULE_NAMES = ("fifo", "fifo-half", "fair", "cap", "weighted-fair", "sjf", "graphene", "random")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare schedulers on the same sequences.")
    parser.add_argument("--profiles", type=Path, help="job profiles; generated jobs if left out")
    parser.add_argument("--side", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--sequences", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--executors", type=int, default=50)
    parser.add_argument("--moving-ms", type=int, default=2_000)
    parser.add_argument("--load", type=float, default=LOAD)
    parser.add_argument("--sizes", help="with --profiles: jobs of these sizes alone, as 80,100 GB")
    parser.add_argument("--bursts", action="store_true", help="jobs arrive in bursts")
    parser.add_argument(
        "--noise", type=float, default=0.0, help="sigma of the error of known mean task times"
    )
    parser.add_argument("--live", action="store_true", help="small clusters, as live ones are")
    parser.add_argument(
        "--network", choices=["star", "racks"], help="with --live: inputs cross its links"
    )
    parser.add_argument("--mbps", type=float, default=750.0, help="of each link of the network")
    parser.add_argument(
        "--drawn", action="store_true", help="what one of the teacher's rules proposes, at random"
    )
    parser.add_argument("--rules", default=",".join(RULE_NAMES), help="fair and cap come always")
    parser.add_argument("--teacher", action="store_true")
    parser.add_argument("--oracle", action="store_true")
    parser.add_argument("--futures", type=int, default=Teacher.futures)
    parser.add_argument("--horizon-s", type=int, default=Teacher.horizon_ms // 1_000)
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    parser.add_argument(
        "--sampled", type=Path, action="append", default=[], help="checkpoint, actions drawn"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    load = replace(
        workload(args.profiles, args.side),
        settings=Settings(executors=args.executors, moving_ms=args.moving_ms),
        load=args.load,
        bursts=args.bursts,
    )
    if args.sizes:
        sizes = {int(size) for size in args.sizes.split(",")}
        kinds = tuple(kind for kind in load.kinds if load.jobs[kind].size_gb in sizes)
        if not kinds:
            parser.error(f"--sizes {args.sizes}: no job of these sizes")
        load = replace(load, kinds=kinds)
    if args.live:
        load = as_live(load)
    if args.network:
        if not args.live:
            parser.error("--network needs --live: larger clusters have no workers")
        load = over(load, args.network, args.mbps)
    if args.noise:
        load = with_noise(load, args.noise)

    def environments() -> list[ClusterEnvironment]:
        return [load.environment(number, args.jobs) for number in range(args.sequences)]

    results: dict[str, FloatArray] = {}

    def measure(name: str, schedule: Callable[[list[ClusterEnvironment]], list[float]]) -> None:
        began = time.monotonic()
        results[name] = np.array(schedule(environments())) / 1e3
        print(
            f"{name}: {results[name].mean():.2f} s ({time.monotonic() - began:.0f} s)", flush=True
        )

    def threaded(
        one: Callable[[ClusterEnvironment], float],
    ) -> Callable[[list[ClusterEnvironment]], list[float]]:
        def schedule(clusters: list[ClusterEnvironment]) -> list[float]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return list(pool.map(one, clusters))

        return schedule

    names = args.rules.split(",")
    if args.rules == parser.get_default("rules"):
        measure("lower bound", threaded(lower_bound_ms))
    for name in [*names, *({"fair", "cap"} - set(names))]:
        measure(name, threaded(partial(_run, RULES[name])))
    if args.drawn:
        measure("drawn among proposals", threaded(_drawn))
    teacher = Teacher(futures=args.futures, horizon_ms=1_000 * args.horizon_s)
    if args.teacher:
        measure("teacher", threaded(partial(_teach, teacher)))
    if args.oracle:
        oracle = Teacher(known=True, horizon_ms=1_000 * args.horizon_s)
        measure("oracle", threaded(partial(_teach, oracle)))
    for folder, seed in [(f, None) for f in args.checkpoint] + [(f, 1) for f in args.sampled]:
        measure(f"{folder}{' (sampled)' if seed else ''}", _checkpoint(folder, args.device, seed))
    _print(results, args)


def _run(rule: RulePolicy, cluster: ClusterEnvironment) -> float:
    return float(cluster.run(rule).mean())


def _drawn(cluster: ClusterEnvironment) -> float:
    """What is left of a model if it has learned nothing: the choice among the same actions."""
    random = np.random.default_rng(1)
    cluster.reset()
    done = False
    while not done:
        actions = proposals(cluster)
        if not may_pass(cluster.cluster):
            actions = actions[actions[:, 0] != NOWHERE]
        stage, executors = random.choice(np.unique(actions, axis=0)).tolist()
        _, done = cluster.step(stage, executors)
    return float(cluster.completion_ms().mean())


def _teach(teacher: Teacher, cluster: ClusterEnvironment) -> float:
    return float(teach(cluster, teacher).mean())


def _checkpoint(
    folder: Path, device: str, seed: int | None
) -> Callable[[list[ClusterEnvironment]], list[float]]:
    from policy.model import checkpoint
    from policy.tasks.cjs.play import play
    from policy.tasks.cjs.tensors import player

    model, info = checkpoint.load(folder, device=device)
    scheduler = player(model, device, seed, info.target_return)

    def schedule(clusters: list[ClusterEnvironment]) -> list[float]:
        times_ms = play(scheduler, clusters)
        return [float(of_jobs.mean()) for of_jobs in times_ms]

    return schedule


def _print(results: dict[str, FloatArray], args: argparse.Namespace) -> None:
    print(
        f"\n{args.sequences} sequences of {args.jobs} jobs, {args.side} queries, "
        f"{args.executors} executors, load {args.load:g}\n"
    )
    print("| scheduler | mean JCT, s | / cap | / fair |\n|---|---|---|---|")
    for name, mean_s in results.items():
        cells = [name, f"{mean_s.mean():.1f}"]
        for reference in ("cap", "fair"):
            ratio = paired_ratio(mean_s, results[reference])
            interval = f" [{ratio.low:.3f}, {ratio.high:.3f}]" if ratio.low is not None else ""
            cells.append(f"{ratio.ratio:.3f}{interval}")
        print(f"| {' | '.join(cells)} |")
    if args.json is not None:
        record = {
            "settings": {name: str(value) for name, value in vars(args).items()},
            "mean_jct_s": {name: mean_s.tolist() for name, mean_s in results.items()},
        }
        args.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
