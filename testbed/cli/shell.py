"""``tbtest shell``: look around in a running scenario."""

from __future__ import annotations

import json
import os

import click

from testbed.errors import UserError


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("node", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--run", "run_id", metavar="ID", help="Only this run, where several are live.")
@click.option("--json", "as_json", is_flag=True, help="Without NODE: print the list as JSON.")
def shell(node: str | None, command: tuple[str, ...], run_id: str | None, as_json: bool) -> None:
    """Open a shell in a host or router NODE of a running scenario, or run COMMAND there.

    Without NODE the hosts are listed. The shell ends with the run, like all that the run started;
    `tbtest run --hold` keeps a scenario after its traffic.

    \b
        tbtest shell
        tbtest shell s1
        tbtest shell s1 ping -c 3 10.0.1.2
    """
    from testbed.run.hosts import running_nodes
    from testbed.system.pids import RUN_VARIABLE

    nodes = [found for found in running_nodes() if run_id in (None, found.run_id)]
    if node is None:
        if as_json:
            rows = [{**vars(found), "netns": str(found.netns)} for found in nodes]
            click.echo(json.dumps(rows, indent=1))
        else:
            for found in nodes:
                where = found.address or "router"
                click.echo(f"{found.name:12} {where:16} {found.run_id} {found.cell}")
            if not nodes:
                click.echo("no scenario is running; `tbtest run --hold` keeps one")
        return
    chosen = [found for found in nodes if found.name == node]
    if not chosen:
        known = ", ".join(sorted({found.name for found in nodes}))
        raise UserError(
            f"shell {node}: no running scenario has such a node; "
            + (f"known: {known}" if known else "none is running, `tbtest run --hold` keeps one")
        )
    if len(chosen) > 1:
        runs = ", ".join(found.run_id for found in chosen)
        raise UserError(f"shell {node}: several runs are live; choose one with --run: {runs}")
    argv = list(command) or [os.environ.get("SHELL", "/bin/sh")]
    environment = {**os.environ, RUN_VARIABLE: chosen[0].run_id, "TBTEST_NODE": node}
    chosen[0].open().inside().__enter__()
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606  # the user's own command
    except OSError as error:
        raise UserError(f"shell {node}: {argv[0]}: {error.strerror}") from error
