"""How much of its link a flow used on real TCP in its first seconds, and in those after an outage.

\b
    tbtest league GRID --virtual --keep-runs --out league
    python -m experiments.congestion.utilisation league

Of every scenario that the policy, bbr and cubic have run: what the bottleneck delivered in the
first FIRST_S seconds, and in the AFTER_S after each outage, over what the trace offered then, and
the policy's share of the better one of bbr and cubic. `experiments.congestion.recovery` is the same
in the simulator, on more outages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from analysis.errors import AnalysisError
from analysis.metrics.throughput import WINDOW_NS, capacity_bps, delivered_bps
from analysis.run import Cell, Flow, load_run
from analysis.statistics import median_ci95
from experiments.congestion.curve import RIVALS
from experiments.congestion.output import markdown, number
from experiments.congestion.recovery import AFTER_S, FIRST_S, outages_in
from testbed.units import NS_PER_S

_PER_S = NS_PER_S // WINDOW_NS


@dataclass(frozen=True)
class Stretch:
    """A time of a scenario, and what a scheme used of it."""

    scenario: str
    flow: str
    kind: str
    at: int
    scheme: str
    used: float


def stretches(folder: Path) -> Iterator[Stretch]:
    """Of a kept run, whose folder is named SCENARIO.SCHEME."""
    scenario, _, scheme = folder.name.rpartition(".")
    for cell in load_run(folder).cells:
        for flow in cell.measured:
            yield from _of_flow(cell, flow, scenario, scheme)


def _of_flow(cell: Cell, flow: Flow, scenario: str, scheme: str) -> Iterator[Stretch]:
    offered = capacity_bps(cell, flow)
    _, sent = delivered_bps(cell.data_packets(flow), cell.start_ns, cell.stop_ns)
    times = [("first", 0, FIRST_S * _PER_S)]
    ends = [end for _, end in outages_in(offered, float(offered.mean()))]
    times += [("after", end, end + AFTER_S * _PER_S) for end in ends]
    for kind, begin, end in times:
        if end <= len(offered) and offered[begin:end].sum() > 0:
            used = float(sent[begin:end].sum() / offered[begin:end].sum())
            yield Stretch(scenario, flow.kind, kind, begin, scheme, used)


def table(found: list[Stretch]) -> str:
    """A row for each kind of flow, time and scheme: the mean share used, its part of the better of
    bbr's and cubic's mean, and the median of the paired ratios with its interval over scenarios.
    """
    groups: dict[tuple[str, str], dict[str, dict[tuple[str, int], float]]] = {}
    for one in found:
        rows = groups.setdefault((one.flow, one.kind), {})
        rows.setdefault(one.scheme, {})[one.scenario, one.at] = one.used
    lines = []
    for (flow, kind), by_scheme in sorted(groups.items()):
        places = sorted(set.intersection(*(set(rows) for rows in by_scheme.values())))
        if not places or not {*RIVALS} <= set(by_scheme):
            continue
        used = {name: np.array([rows[p] for p in places]) for name, rows in by_scheme.items()}
        better = max(used[rival].mean() for rival in RIVALS)
        each = np.maximum(used["bbr"], used["cubic"])
        for name, shares in sorted(used.items()):
            ratios = (shares / np.maximum(each, 1e-9)).tolist()
            median, interval = median_ci95(ratios, [scenario for scenario, _ in places])
            around = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
            when = f"first {FIRST_S} s" if kind == "first" else f"{AFTER_S} s after an outage"
            part, shown = float(shares.mean() / better), f"{median:.2f}{around}"
            title = f"{flow}, {when} ({len(places)})"
            lines.append([title, name, number(float(shares.mean()), 3), number(part, 2), shown])
    return markdown(["flow and time", "scheme", "used", "of the better", "paired, median"], lines)


@click.command(help=__doc__)
@click.argument("league", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(league: Path) -> None:
    """Print the table."""
    found = []
    for folder in sorted((league / "runs").iterdir()):
        try:
            found += stretches(folder)
        except AnalysisError as error:
            click.echo(f"left out: {error}", err=True)
    click.echo(table(found))


if __name__ == "__main__":
    main()
