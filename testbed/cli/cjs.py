"""``tbtest cjs``: cluster job scheduling, simulated."""

from __future__ import annotations

import glob
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.errors import UserError

if TYPE_CHECKING:
    from policy.tasks.cjs.comparison import Outcome, Ratio


@click.group()
def cjs() -> None:
    """Cluster job scheduling: compare schedulers in a simulated cluster."""


@cjs.command()
@click.option(
    "--profiles",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Jobs: profiles as Parquet or graphs as JSON lines; generated if left out.",
)
@click.option(
    "--sequences",
    multiple=True,
    metavar="FILE|GLOB",
    help="Arrivals as JSON, [[arrival_ms, query, size_gb], ...]; may be repeated.",
)
@click.option(
    "--policies",
    default="policy,fifo,fair,cap",
    show_default=True,
    metavar="NAME,NAME",
    help="Rules, or policy and policy:FOLDER for a model.",
)
@click.option(
    "--baseline", metavar="NAME", help="Ratios are to this policy; the first one if left out."
)
@click.option("--executors", default=50, show_default=True, type=click.IntRange(1, 1_000))
@click.option(
    "--moving-delay", "moving_ms", default=2_000, show_default=True, type=click.IntRange(0, 10**7),
    metavar="MS", help="Time an executor needs to another job.",
)  # fmt: skip
@click.option(
    "--link-mbps",
    type=click.FloatRange(min=0, min_open=True),
    help="All inputs cross one link, shared equally; they take no time if left out.",
)
@click.option("--compat", is_flag=True, help="Interpolate task times as decima-sim does.")
@click.option(
    "--count",
    default=8,
    show_default=True,
    type=click.IntRange(1, 1_000),
    help="Sequences to draw.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def simulate(
    profiles: Path | None,
    sequences: tuple[str, ...],
    policies: str,
    baseline: str | None,
    executors: int,
    moving_ms: int,
    link_mbps: float | None,
    compat: bool,
    count: int,
    seed: int,
    as_json: bool,
) -> None:
    """Job completion times (JCT) of several policies on the same sequences of jobs.

    \b
        tbtest cjs simulate
        tbtest cjs simulate --profiles jobs.parquet --sequences 'arrivals/*.json'
    """
    from policy.tasks.cjs.catalogue import build_catalogue
    from policy.tasks.cjs.comparison import paired_ratio
    from policy.tasks.cjs.comparison import simulate as run
    from policy.tasks.cjs.network import NO_NETWORK, one_link
    from policy.tasks.cjs.policies.registry import rule
    from policy.tasks.cjs.sequences import poisson, read_arrivals
    from policy.tasks.cjs.simulator.layout import Settings
    from policy.tasks.cjs.sources.files import read_jobs
    from policy.tasks.cjs.sources.synthetic import generate_jobs

    names = list(dict.fromkeys(name.strip() for name in policies.split(",")))
    chosen = [_model(name) if name.partition(":")[0] == "policy" else rule(name) for name in names]
    reference = baseline or names[0]
    if reference not in names:
        raise UserError(f"--baseline {reference}: not among --policies {policies}; add it there")
    jobs = read_jobs(profiles) if profiles else generate_jobs(seed)
    files = _files(sequences)
    if files:
        arrivals = [read_arrivals(file, jobs) for file in files]
    else:
        arrivals = [poisson(seed + number, range(len(jobs))) for number in range(count)]
    settings = Settings(executors=executors, moving_ms=moving_ms, compat=int(compat))
    network = NO_NETWORK if link_mbps is None else one_link(link_mbps * 1e6)
    threads = os.cpu_count() or 1
    outcomes = run(build_catalogue(jobs), arrivals, chosen, settings, seed, threads, network)
    outcomes = [replace(one, policy=name) for one, name in zip(outcomes, names, strict=True)]
    base = next(outcome for outcome in outcomes if outcome.policy == reference)
    ratios = [paired_ratio(outcome.mean_s, base.mean_s) for outcome in outcomes]
    if as_json:
        _print_json(outcomes, ratios, reference, [one.name for one in arrivals])
    else:
        _print_table(outcomes, ratios, reference, len(arrivals))


def _model(name: str) -> Path:
    from policy.model.info import resolve_scheduler
    from testbed.traffic.scheduler import asked_of_server

    return resolve_scheduler(asked_of_server(name) or "default")


def _files(patterns: tuple[str, ...]) -> list[Path]:
    files: list[Path] = []
    for pattern in patterns:
        # Path.glob refuses absolute patterns.
        found = sorted(Path(name) for name in glob.glob(pattern))  # noqa: PTH207
        if not found:
            raise UserError(f"--sequences {pattern}: no such file; give arrivals as JSON")
        files += found
    return files


def _print_json(
    outcomes: list[Outcome], ratios: list[Ratio], reference: str, sequences: list[str]
) -> None:
    rows = [
        {
            "policy": outcome.policy,
            "jct_mean_s": float(outcome.mean_s.mean()),
            "jct_p95_s": float(outcome.p95_s.mean()),
            "jct_mean_s_by_sequence": outcome.mean_s.tolist(),
            "ratio": ratio.ratio,
            "ratio_ci95": None if ratio.low is None else [ratio.low, ratio.high],
        }
        for outcome, ratio in zip(outcomes, ratios, strict=True)
    ]
    click.echo(
        json.dumps({"baseline": reference, "sequences": sequences, "policies": rows}, indent=2)
    )


def _print_table(
    outcomes: list[Outcome], ratios: list[Ratio], reference: str, sequences: int
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("policy", "mean JCT", "p95 JCT", f"mean / {reference}", "95 % interval", box=None)
    for outcome, ratio in zip(outcomes, ratios, strict=True):
        known = ratio.low is not None and ratio.high is not None
        table.add_row(
            outcome.policy,
            f"{outcome.mean_s.mean():.1f} s",
            f"{outcome.p95_s.mean():.1f} s",
            f"{ratio.ratio:.3f}",
            f"{ratio.low:.3f} to {ratio.high:.3f}" if known else "–",
        )
    console = Console()
    console.print(table)
    console.print(f"{sequences} sequences; ratios are paired by sequence", highlight=False)
