"""`tbtest collect --task abr` and `tbtest train --task abr`."""

from __future__ import annotations

from pathlib import Path

import click

PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


@click.command()
@click.option("--traces", multiple=True, required=True, metavar="DIR|GLOB", help="Repeatable.")
@click.option("--video", "videos", multiple=True, metavar="FILE", help="Manifest; repeatable.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the dataset; a new one.",
)
@click.option("--chunks", default=48, show_default=True, type=click.IntRange(2), help="Of a video.")
@click.option(
    "--drawn", default=0, show_default=True, type=click.IntRange(0, 1000), help="Random ladders."
)
@click.option("--narrow", is_flag=True, help="No scaled traces, no other round trip.")
@click.option("--sessions", default=1024, show_default=True, type=click.IntRange(1, 10_000_000))
@click.option(
    "--horizon",
    default=24,
    show_default=True,
    type=click.IntRange(1),
    help="Chunks that are rolled out for the value of a level.",
)
@click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="NAME",
    help="A checkpoint that plays beside the rules, or policy; repeatable. The first one values "
    "the levels; a rule does without.",
)
@click.option(
    "--explore",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of levels at random.",
)
@click.option(
    "--test", multiple=True, metavar="DIR|GLOB", help="Traces that must not be played; repeatable."
)
@click.option("--allow-overlap", is_flag=True, help="Although --test holds the same recordings.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0, 2**31))
def collect(
    traces: tuple[str, ...],
    videos: tuple[str, ...],
    out: Path,
    chunks: int,
    drawn: int,
    narrow: bool,
    sessions: int,
    horizon: int,
    networks: tuple[str, ...],
    explore: float,
    test: tuple[str, ...],
    allow_overlap: bool,
    seed: int,
) -> None:
    """Simulated sessions, every state labelled with the value of every level.

    Every fifth recording is kept for validation and not played. A recording that --test holds is
    refused.

    \b
        tbtest collect --task abr --traces training/ --video video.json --out labels
        tbtest train --task abr --dataset labels --out my.safetensors
    """
    from policy.errors import PolicyError
    from policy.registry import abr_checkpoint
    from policy.tasks.abr.learned import load_policy
    from policy.tasks.abr.training.collection import collect_to
    from policy.tasks.abr.training.material import Sources
    from policy.tasks.abr.training.rounds import Settings

    if out.exists():
        raise PolicyError(f"{out}: is there already; name another folder, or remove it")
    loaded = []
    for name in networks:
        file = abr_checkpoint("default" if name == "policy" else name)
        if file is None:
            raise PolicyError(f"--network {name}: give policy, or a checkpoint *.safetensors")
        loaded.append(load_policy(file))
    sources = Sources(traces, videos, chunks, drawn, not narrow, test, allow_overlap)
    material, notes = sources.read("cpu")
    notes |= {
        "sessions": str(sessions),
        "horizon": str(horizon),
        "networks": " ".join(Path(name).name for name in networks) or "none",
        "seed": str(seed),
    }
    settings = Settings(sessions=sessions, horizon=horizon, explore=explore, seed=seed)
    done = collect_to(out, material, settings, loaded, None, notes)
    click.echo(
        f"{out}: {done.states} labelled states of {done.sessions} sessions; "
        f"{len(material.training)} traces played, {len(material.validation)} kept for validation"
    )


@click.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def train(arguments: tuple[str, ...]) -> None:
    """Train a policy for adaptive bitrate streaming; arguments as `policy.tasks.abr.training`."""
    from policy.tasks.abr.training.__main__ import parser, run

    made = parser()
    made.prog = "tbtest train --task abr"
    args = made.parse_args(arguments)
    best = run(args)
    click.echo(f"{args.out}: validation {best:.4f}")
