"""How far live clusters can be believed: runs of `tbtest run --flow jobs` beside the simulator.

    python -m experiments.cjs.live RUN [RUN...]

Simulates every cell again, with its jobs, arrivals, seed and scheduler, its links as a fluid of the
trace's mean rate, and prints for each the mean JCT of both, their ratio, and how late timers and
placements were. Then, of each pair of schedulers in each repeat, whether live and simulator agree
on which is better (the order is to be the same in 90 % of the pairs; on an unlimited link the ratio
is to be within 3 %), and last the ratios of schedulers to fair and cap, live, paired by jobs. With
`--against cubic+fair` also the ratios of every controller and scheduler to these two on the same
link and jobs, of whichever run. The simulator's policy decides everything itself and in no time;
cells of `teacher`, and those whose jobs were not all done, are left out.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.metrics.jobs import JobsMetrics, jobs_metrics
from analysis.run import Cell, Run, load_run
from policy.tasks.cjs.comparison import paired_ratio
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.network import NO_NETWORK, Network, star, two_racks
from policy.tasks.cjs.policies.registry import RULES
from testbed.errors import UserError
from testbed.traffic.jobs.options import JobsOptions
from testbed.traffic.scheduler import asked_of_server
from traces.parquet import read_parquet

_PAYLOAD = 1_448 / 1_514
"""Of the bytes of a full packet on the link."""


@dataclass(frozen=True)
class Pair:
    """A live cell, and what the simulator says of it."""

    place: str
    repeat: int
    scheduler: str
    live: JobsMetrics
    simulated_s: float
    without_s: float = 0.0
    cc: str = ""
    link_and_seed: tuple[str, int] = ("", 0)

    @property
    def ratio(self) -> float:
        """Mean JCT, live / simulated."""
        return self.live.jct_mean_s / self.simulated_s


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare live clusters with the simulator.")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--against", metavar="CC+SCHEDULER", help="what all others are divided by")
    args = parser.parse_args()
    pairs = []
    for folder in args.runs:
        run = load_run(folder)
        pairs += [pair for cell in run.cells for pair in _pair(run, cell)]
    columns: tuple[str, ...] = ("run", "repeat", "scheduler", "live, s", "simulated, s", "ratio")
    columns += ("no network, s", "timers p99, ms", "placements p99, ms", "in transfers")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for pair in pairs:
        live = pair.live
        print(
            f"| {pair.place} | {pair.repeat} | {pair.scheduler} | {live.jct_mean_s:.3f} | "
            f"{pair.simulated_s:.3f} | {pair.ratio:.3f} | {pair.without_s:.3f} | "
            f"{live.lateness_ms.p99 or 0:.2f} | {live.decision_ms.p99 or 0:.2f} | "
            f"{live.transfer_share:.3f} |"
        )
    agree, compared = agreement(pairs)
    print(f"\nsame order in {agree} of {compared} pairs of schedulers\n")
    for reference in ("fair", "cap"):
        for line in _ratios(pairs, reference):
            print(line)
    if args.against:
        for line in across(pairs, args.against):
            print(line)


def _ratios(pairs: Sequence[Pair], reference: str) -> list[str]:
    """Live mean JCT of each scheduler to the reference on the same jobs, with 95 % intervals."""
    base = {(pair.place, pair.repeat): pair for pair in pairs if pair.scheduler == reference}
    lines = []
    for name in sorted({pair.scheduler for pair in pairs} - {reference}):
        alike = [pair for pair in pairs if pair.scheduler == name]
        both = [(one, base[at]) for one in alike if (at := (one.place, one.repeat)) in base]
        lines += _line(f"{name} / {reference}", both)
    return lines


def across(pairs: Sequence[Pair], reference: str) -> list[str]:
    """Live mean JCT of each controller and scheduler to the reference, as `cubic+fair`, on the same
    link and jobs, by link.
    """
    of: dict[str, dict[tuple[str, int], Pair]] = {}
    for pair in pairs:
        of.setdefault(f"{pair.cc}+{pair.scheduler}", {})[pair.link_and_seed] = pair
    base = of.pop(reference, {})
    lines = []
    for link in sorted({link for link, _ in base}):
        for name, cells in sorted(of.items()):
            both = [(cells[at], base[at]) for at in base if at in cells and at[0] == link]
            lines += _line(f"{link}: {name} / {reference}", both)
    return lines


def _line(name: str, both: Sequence[tuple[Pair, Pair]]) -> list[str]:
    """The mean ratio of live mean JCTs with its 95 % interval; no line without pairs."""
    if not both:
        return []
    ours, theirs = np.array([[pair.live.jct_mean_s for pair in pairs] for pairs in both]).T
    ratio = paired_ratio(ours, theirs)
    interval = f" [{ratio.low:.3f}, {ratio.high:.3f}]" if ratio.low is not None else ""
    means = f"{ours.mean():.2f} and {theirs.mean():.2f} s"
    return [f"{name}: {ratio.ratio:.3f}{interval}, {len(both)} pairs, {means}"]


def _pair(run: Run, cell: Cell) -> list[Pair]:
    flow = cell.measured[0]
    live = jobs_metrics(cell, flow)
    options = JobsOptions.model_validate(flow.options)
    served = asked_of_server(options.scheduler) is not None
    if live is None or not (served or options.scheduler in RULES) or live.done_share < 1:
        return []
    slots = 2 * len(cell.measured) * options.slots
    simulated_s, without_s = (
        _simulated_ms(options.environment(_seed(cell), slots, network), options.scheduler)
        / 1000
        / options.speed
        for network in (_network(run, cell, options), NO_NETWORK)
    )
    return [
        Pair(
            f"{run.folder.name} {cell.record.cc}",
            cell.repeat,
            options.scheduler,
            live,
            simulated_s,
            without_s,
            cell.record.cc,
            (run.manifest.trace.name, cell.seed),
        )
    ]


def _simulated_ms(environment: ClusterEnvironment, scheduler: str) -> float:
    """Mean JCT."""
    served = asked_of_server(scheduler)
    if served is None:
        return float(environment.run(RULES[scheduler]).mean())
    from policy.model.info import resolve_scheduler
    from policy.tasks.cjs.play import load_player, play

    return float(play(load_player(resolve_scheduler(served)), [environment])[0].mean())


def _network(run: Run, cell: Cell, options: JobsOptions) -> Network:
    """The cell's links at their mean rate. Raises UserError for topologies without a model."""
    made = {"star": star, "dumbbell": two_racks}.get(str(run.manifest.scenario["topology"]))
    if made is None:
        raise UserError(f"{run.folder}: only star and dumbbell have a fluid network")
    goodput_bps = read_parquet(run.folder / str(run.manifest.trace.file)).mean_bps() * _PAYLOAD
    network_bps = options.network_bps(goodput_bps)
    return NO_NETWORK if math.isinf(network_bps) else made(len(cell.measured), network_bps)


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
