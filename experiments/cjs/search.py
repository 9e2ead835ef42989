"""The rules' parameters, searched on validation sequences of queries kept out of training.

    python -m experiments.cjs.search --profiles jobs.parquet

Prints a Markdown table: for each setting the mean JCT and the ratio to Fair, paired by sequence.
The best settings are the defaults in `policy/tasks/cjs/policies/registry.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from policy.tasks.cjs.comparison import paired_ratio
from policy.tasks.cjs.environment import run_many
from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies.registry import RULES, RulePolicy
from policy.tasks.cjs.simulator.choose import CAP, FIFO, GRAPHENE, WEIGHTED_FAIR
from policy.tasks.cjs.workload import Workload, workload

LIMITS = (5, 8, 10, 12, 14, 16, 18, 20, 22, 25, 30, 40, 50)


def candidates() -> Iterator[RulePolicy]:
    """Every setting that is tried, by the name of its rule."""
    for share in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.7, 1.0):
        yield RulePolicy("fifo", FIFO, (share,))
    for limit in LIMITS:
        for keep in (0.0, 1.0):
            yield RulePolicy("cap", CAP, (float(limit), keep))
    for exponent in (-2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0):
        yield RulePolicy("weighted-fair", WEIGHTED_FAIR, (exponent,))
    for limit in LIMITS[2::2]:
        for threshold in (0.1, 0.2, 0.4):
            yield RulePolicy("graphene", GRAPHENE, (threshold, float(limit)))


def mean_jct_s(load: Workload, rule: RulePolicy, sequences: int, jobs: int) -> FloatArray:
    """Mean JCT [sequences] in s."""
    environments = [load.environment(number, jobs) for number in range(sequences)]
    return np.array([times.mean() / 1e3 for times in run_many(environments, rule, threads=2)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Search the parameters of the rules.")
    parser.add_argument("--profiles", type=Path, help="job profiles; generated jobs if left out")
    parser.add_argument("--sequences", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=100)
    args = parser.parse_args()
    load = workload(args.profiles, "validation")
    fair = mean_jct_s(load, RULES["fair"], args.sequences, args.jobs)
    print(f"fair {fair.mean():.2f} s on {args.sequences} sequences of {args.jobs} jobs\n")
    print("| rule | parameters | mean JCT, s | / fair | 95 % interval |\n|---|---|---|---|---|")
    for rule in candidates():
        mean_s = mean_jct_s(load, rule, args.sequences, args.jobs)
        ratio = paired_ratio(mean_s, fair)
        interval = f"{ratio.low:.3f} to {ratio.high:.3f}" if ratio.low is not None else "–"
        shown = ", ".join(f"{value:g}" for value in rule.parameters)
        print(f"| {rule.name} | {shown} | {mean_s.mean():.2f} | {ratio.ratio:.3f} | {interval} |")


if __name__ == "__main__":
    main()
