"""How far live clusters can be believed: runs of `tbtest run --flow jobs` beside the simulator.

    python -m experiments.cjs.live RUN [RUN...]

Simulates every cell again, with its jobs, arrivals, seed and scheduler, and prints for each the
mean JCT of both, their ratio, and how late timers and placements were. Then, of each pair of
schedulers in each repeat, whether live and simulator agree on which is better. Cells on an
unlimited link are to be within 3 %, and the order the same in 90 % of the pairs; on a limited link
the ratio is what the network costs. Rules alone can be simulated: cells of other schedulers are
left out.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.metrics.jobs import JobsMetrics, jobs_metrics
from analysis.run import Cell, load_run
from policy.tasks.cjs.policies.registry import RULES
from testbed.traffic.jobs.options import JobsOptions


@dataclass(frozen=True)
class Pair:
    """A live cell, and what the simulator says of it."""

    place: str
    repeat: int
    scheduler: str
    live: JobsMetrics
    simulated_s: float

    @property
    def ratio(self) -> float:
        """Mean JCT, live / simulated."""
        return self.live.jct_mean_s / self.simulated_s


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare live clusters with the simulator.")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    args = parser.parse_args()
    pairs = []
    for run in args.runs:
        pairs += [pair for cell in load_run(run).cells for pair in _pair(run, cell)]
    columns: tuple[str, ...] = ("run", "repeat", "scheduler", "live, s", "simulated, s", "ratio")
    columns += ("timers p99, ms", "placements p99, ms", "in transfers")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for pair in pairs:
        live = pair.live
        print(
            f"| {pair.place} | {pair.repeat} | {pair.scheduler} | {live.jct_mean_s:.3f} | "
            f"{pair.simulated_s:.3f} | {pair.ratio:.3f} | {live.lateness_ms.p99 or 0:.2f} | "
            f"{live.decision_ms.p99 or 0:.2f} | {live.transfer_share:.3f} |"
        )
    agree, compared = agreement(pairs)
    print(f"\nsame order in {agree} of {compared} pairs of schedulers")


def _pair(run: Path, cell: Cell) -> list[Pair]:
    flow = cell.measured[0]
    live = jobs_metrics(cell, flow)
    options = JobsOptions.model_validate(flow.options)
    if live is None or options.scheduler not in RULES or live.done_share < 1:
        return []
    slots = 2 * len(cell.measured) * options.slots
    environment = options.environment(_seed(cell), slots)
    times_ms = environment.run(RULES[options.scheduler])
    simulated_s = float(times_ms.mean()) / 1000 / options.speed
    place = f"{run.name} {cell.record.cc}"
    return [Pair(place, cell.repeat, options.scheduler, live, simulated_s)]


def _seed(cell: Cell) -> int:
    """The seed of the first flow, by which the cluster draws its jobs and task times."""
    from testbed.run.plan import cell_seed

    return cell_seed(cell.seed, 0)


def agreement(pairs: Sequence[Pair]) -> tuple[int, int]:
    """In how many pairs of schedulers, on the same jobs, live and simulator say the same; of how
    many that are not equal in the simulator.
    """
    found = [
        (one.live.jct_mean_s < two.live.jct_mean_s) == (one.simulated_s < two.simulated_s)
        for one, two in itertools.combinations(pairs, 2)
        if (one.place, one.repeat) == (two.place, two.repeat) and one.simulated_s != two.simulated_s
    ]
    return sum(found), len(found)


if __name__ == "__main__":
    main()
