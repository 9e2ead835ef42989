"""``tbtest abr``: adaptive bitrate streaming in simulation."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from policy.tasks.abr.evaluate import Row

_DEFAULT = "policy,bba,rate,bola,dynamic,robust-mpc"

_traces = click.option(
    "--traces",
    multiple=True,
    required=True,
    metavar="DIR|GLOB",
    help="Folder, file or quoted pattern, gzipped or not; may be repeated.",
)
_video = click.option(
    "--video", "manifest", required=True, type=click.Path(path_type=Path), help="Manifest."
)


@click.group()
def abr() -> None:
    """Simulate adaptive bitrate streaming: which level a player asks for, chunk by chunk."""


@abr.command()
@_traces
@_video
@click.option(
    "--policies",
    default=_DEFAULT,
    show_default=True,
    metavar="NAMES",
    help="Rules, checkpoints by path, policy: the one that ships. Options follow a colon: "
    "robust-mpc:horizon=8,factor=.9.",
)
@click.option(
    "--model",
    type=click.Choice(["pensieve", "session", "tcp"]),
    default="pensieve",
    show_default=True,
    help="How chunks arrive.",
)
@click.option("--chunks", type=click.IntRange(min=2), help="Play so many chunks; all if left out.")
@click.option("--start-level", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--rtt", "rtt_ms", type=click.FloatRange(0, 10_000), default=80.0, show_default=True)
@click.option(
    "--qoe",
    "kind",
    type=click.Choice(["linear", "log", "quality"]),
    default="linear",
    show_default=True,
)
@click.option("--baseline", metavar="NAME", help="Show differences to this policy, with intervals.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def simulate(
    traces: tuple[str, ...],
    manifest: Path,
    policies: str,
    model: str,
    chunks: int | None,
    start_level: int,
    rtt_ms: float,
    kind: str,
    baseline: str | None,
    as_json: bool,
) -> None:
    """Play a video over every trace under each policy: one row a policy.

    Intervals are 95 %, bootstrapped over recordings; slices of one recording count as one.

    \b
        tbtest abr simulate --traces traces/ --video video.json --baseline robust-mpc
    """
    from policy.errors import PolicyError
    from policy.tasks.abr.bandwidth import find_bandwidths, pack
    from policy.tasks.abr.evaluate import compare, policy_names
    from policy.tasks.abr.network import Model
    from policy.tasks.abr.qoe import qoe_of
    from policy.tasks.abr.session import Sessions, start
    from policy.tasks.abr.video import read_video

    video = read_video(manifest)
    if chunks is not None:
        video = video.clipped(chunks)
    if start_level >= video.levels:
        raise PolicyError(f"--start-level {start_level}: the top level is {video.levels - 1}")
    # One kind of QoE and one set of traces for every policy: their differences are then paired.
    qoe = qoe_of(video, "log" if kind == "log" else "quality" if kind == "quality" else "linear")
    packed = pack(find_bandwidths(*traces))

    def fresh() -> Sessions:
        return start(
            video,
            packed,
            model=Model[model.upper()],
            qoe=qoe,
            rtt_ms=rtt_ms,
            start_level=start_level,
        )

    rows = compare(policy_names(policies), fresh, packed.recordings, baseline)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    _print(rows, baseline)


@abr.command()
@_traces
@_video
@click.option(
    "--model", type=click.Choice(["pensieve", "session"]), default="pensieve", show_default=True
)
@click.option("--chunks", type=click.IntRange(min=2), help="Play so many chunks; all if left out.")
@click.option("--start-level", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    default=0.02,
    show_default=True,
    help="Utilities closer than this may be taken as equal; more is faster.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one entry a trace.")
def optimum(
    traces: tuple[str, ...],
    manifest: Path,
    model: str,
    chunks: int | None,
    start_level: int,
    tolerance: float,
    as_json: bool,
) -> None:
    """The greatest QoE of a player who knows the trace: what was reached, and a bound from above.

    About a second a trace.

    \b
        tbtest abr optimum --traces traces/ --video video.json
    """
    from policy.errors import PolicyError
    from policy.tasks.abr.bandwidth import find_bandwidths, pack
    from policy.tasks.abr.evaluate import mean_ci95
    from policy.tasks.abr.network import Model
    from policy.tasks.abr.optimum import optimum as best_of
    from policy.tasks.abr.session import start
    from policy.tasks.abr.video import read_video

    video = read_video(manifest)
    if chunks is not None:
        video = video.clipped(chunks)
    if start_level >= video.levels:
        raise PolicyError(f"--start-level {start_level}: the top level is {video.levels - 1}")
    packed = pack(find_bandwidths(*traces))
    sessions = start(video, packed, model=Model[model.upper()], start_level=start_level)
    best = best_of(sessions, tolerance)
    if as_json:
        rows = [
            {"trace": name, "qoe": qoe, "bound": bound}
            for name, qoe, bound in zip(
                packed.names, best.reached.tolist(), best.bound.tolist(), strict=True
            )
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    interval = _interval(mean_ci95(best.reached, packed.recordings)).replace("\\[", "[")
    gap = best.bound - best.reached
    click.echo(f"{len(packed)} traces: QoE {best.reached.mean():.4f}{interval}")
    click.echo(f"bound from above {best.bound.mean():.4f}; greatest gap of a trace {gap.max():.2g}")


def _print(rows: list[Row], baseline: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("policy", overflow="fold")
    for title in ("n", "QoE [95 %]", "p5", "kbit/s", "stall", "switches"):
        table.add_column(title, justify="right")
    if baseline is not None:
        table.add_column(f"less {baseline}", justify="right")
    for row in rows:
        cells = [
            row.policy,
            str(row.n),
            f"{row.qoe:.3f}{_interval(row.qoe_ci95)}",
            f"{row.qoe_p5:.3f}",
            f"{row.bitrate_kbps:.0f}",
            f"{row.stall_ratio:.2%}",
            f"{row.switches:.1f}",
        ]
        if baseline is not None:
            known = row.difference is not None
            cells.append(f"{row.difference:+.3f}{_interval(row.difference_ci95)}" if known else "")
        table.add_row(*cells)
    console = Console()
    # Intervals stay on their line where no terminal says how wide it is.
    console.print(table, highlight=False, width=None if console.is_terminal else 140)
    console.print(f"{rows[0].recordings} recordings", highlight=False)


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" \\[{interval[0]:.3f}, {interval[1]:.3f}]"
