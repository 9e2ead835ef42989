"""`tbtest topologies`."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from topologies import TOPOLOGIES, Topology


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def topologies(as_json: bool) -> None:
    """List the topologies and their options.

    Options are set in the scenario's topology_options, or by --set topology_options.KEY=VALUE;
    flows and rtt have flags of their own. A topology of your own is named by file and class:
    --topology path/to/file.py:ClassName.
    """
    if as_json:
        rows = [describe(name, topology) for name, topology in TOPOLOGIES.items()]
        click.echo(json.dumps({"topologies": rows}, indent=1))
        return
    console = Console(highlight=False, soft_wrap=True)
    for name, topology in TOPOLOGIES.items():
        console.print(f"[bold]{name}[/]  {topology.description}")
        for option in describe(name, topology)["options"]:
            if option["name"] not in ("flows", "rtt_ns"):
                console.print(
                    f"    {option['name']} = {escape(json.dumps(option['default']))}  "
                    f"{escape(option['description'])}"
                )


def describe(name: str, topology: type[Topology]) -> dict[str, Any]:
    """JSON-ready: name, description and options with their defaults."""
    defaults = topology.options_model.model_validate({}).model_dump(mode="json")
    options = [
        {"name": key, "default": defaults[key], "description": field.description}
        for key, field in topology.options_model.model_fields.items()
    ]
    return {"name": name, "description": topology.description, "options": options}
