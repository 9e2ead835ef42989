"""``tbtest policies``: what ``--cc`` takes."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def policies(as_json: bool) -> None:
    """List what --cc takes, with a sentence each.

    The same names work in run, league (--schemes), collect (controllers) and their YAML; those of
    policies, without "policy:", in serve. Naming a file of your own runs it, with your rights.

    \b
        tbtest policies
        tbtest run --cc policy:examples/my_policy.py:MyPolicy,policy:gcc,bbr
    """
    from testbed.controllers.registry import listing

    rows = listing()
    if as_json:
        click.echo(json.dumps([{"name": name, "about": about} for name, about in rows], indent=1))
        return
    width = max(len(name) for name, _ in rows)
    for name, about in rows:
        click.echo(f"{name:<{width}}  {about}")
