"""``tbtest policies``: what ``--cc`` and ``--abr`` take."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def policies(as_json: bool) -> None:
    """List what --cc and --abr take, with a sentence each.

    The names of --cc work in run, league (--schemes), collect (controllers) and their YAML; those
    of policies, without "policy:", in serve. Naming a file of your own runs it, with your rights.
    --abr says who chooses the levels of dash traffic.

    \b
        tbtest policies
        tbtest run --cc policy:examples/my_policy.py:MyPolicy,policy:gcc,bbr
    """
    from testbed.controllers import registry
    from testbed.traffic import abr

    lists = {"--cc": registry.listing(), "--abr": abr.listing()}
    if as_json:
        rows = [
            {"option": option, "name": name, "about": about}
            for option, entries in lists.items()
            for name, about in entries
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(name) for entries in lists.values() for name, _ in entries)
    for option, entries in lists.items():
        click.echo(option)
        for name, about in entries:
            click.echo(f"  {name:<{width}}  {about}")
