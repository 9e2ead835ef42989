"""`tbtest train --task abr`."""

from __future__ import annotations

import click

PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


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
