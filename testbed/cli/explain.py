"""``tbtest explain``: why a policy decided as it did. No root needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from analysis.files import CELLS, INPUTS, read_cell, read_manifest
from testbed.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.files import CellRecord
    from policy.explain.explain import Explanation
    from policy.tasks.congestion.logged import Logged

    Ints = NDArray[np.int64]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--flow", type=int, metavar="F", help="Explain a decision of this flow …")
@click.option("--at", type=float, metavar="S", help="… this many seconds after its cell's start.")
@click.option("--cell", metavar="NAME", help="Its cell; default: the first with logged inputs.")
@click.option("--policy", "name", metavar="NAME", help="Default: the model that answered.")
@click.option("--model", metavar="DIR", help="Checkpoint; default: the bundled one.")
@click.option(
    "--decisions",
    type=click.IntRange(1, 200),
    default=6,
    show_default=True,
    help="How many to explain, spread over the run, where none is named.",
)
@click.option(
    "--windows",
    type=click.IntRange(1, 200_000),
    default=4000,
    show_default=True,
    help="How many the tree is made from, at most.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: RUN/explain.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def explain(
    run: Path,
    flow: int | None,
    at: float | None,
    cell: str | None,
    name: str | None,
    model: str | None,
    decisions: int,
    windows: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Explain a policy's decisions in a RUN whose inputs were logged.

    RUN is a run folder made with `tbtest run --log-inputs`. Shows which fields of a flow's history
    moved an action (integrated gradients where PyTorch is installed, checked by occlusion), the
    smallest change that would have changed the rate by a fifth, and a tree of at most 31 leaves
    that stands in for the policy, with its fidelity on windows that were held out. DIR then holds
    explain.html and tree.py, for `tbtest run --cc policy:DIR/tree.py:Tree`.
    """
    from policy.explain.explain import Explanation
    from policy.explain.explain import decisions as explained
    from policy.explain.explain import tree as distilled
    from policy.explain.page import as_json as to_json
    from policy.explain.page import render
    from policy.explain.policies import acting, is_model
    from policy.tasks.congestion.logged import read

    if (flow is None) != (at is None):
        raise UserError("--flow and --at name a decision together; give both or neither")
    logged = read(run / INPUTS)
    rows, titles = _chosen(run, logged, cell, flow, at, decisions)
    name = name or _answering(logged)
    act = acting(name, model)
    checkpoint = _checkpoint(name, model) if is_model(name) else None
    found = explained(logged, rows, act, checkpoint)
    tree, why = None, ""
    try:
        tree = distilled(logged, act, windows)
    except ValueError as error:
        why = str(error)
    explanation = Explanation(name, found, tree, why)
    out = out or run / "explain"
    out.mkdir(parents=True, exist_ok=True)
    if tree is not None:
        from policy.explain.distil import write_policy

        write_policy(out / "tree.py", tree, f"{name} in {run.name}", _serving(name, model))
    (out / "explain.html").write_text(render(explanation, titles, run.name), encoding="utf-8")
    text = to_json(explanation, titles)
    (out / "explain.json").write_text(text, encoding="utf-8")
    if as_json:
        click.echo(text)
    else:
        _show(Console(soft_wrap=True, highlight=False), explanation, titles, out)


def _chosen(
    run: Path, logged: Logged, cell: str | None, flow: int | None, at: float | None, count: int
) -> tuple[Ints, list[str]]:
    """Rows of the decisions to explain, and a title for each. Raises UserError, AnalysisError."""
    import numpy as np

    from policy.explain.explain import evenly

    cells = {
        entry.folder: read_cell(run / CELLS / entry.folder)
        for entry in read_manifest(run).cells
        if entry.status == "done"
    }
    agents = np.array(
        [
            logged.names["agent"].index(each) if each in logged.names["agent"] else -2
            for each in (record.tcp_congestion for record in cells.values())
        ]
    )
    known = [name for name, agent in zip(cells, agents.tolist(), strict=True) if agent >= 0]
    if not known:
        raise UserError(f"{run}: no cell that is done has logged inputs")
    if cell is not None and cell not in known:
        raise UserError(f"--cell {cell}: no such cell with logged inputs; {', '.join(known)}")
    if flow is None or at is None:
        chosen = [name for name in known if cell in (None, name)]
        wanted = [agents[list(cells).index(name)] for name in chosen]
        answered = logged.paired if len(logged.paired) else np.arange(len(logged))
        rows = evenly(answered[np.isin(logged.rows["agent"][answered], wanted)], count)
    else:
        name = cell or known[0]
        agent = agents[list(cells).index(name)]
        rows = _at(run / CELLS / name, logged, int(agent), cells[name], flow, at)
    by_agent = {int(agent): record for agent, record in zip(agents, cells.values(), strict=True)}
    titles = []
    for row in rows.tolist():
        record = by_agent[int(logged.rows["agent"][row])]
        seconds = (int(logged.rows["end_ns"][row]) - record.start_ns) / 1e9
        titles.append(f"{record.cc}, slot {logged.rows['flow'][row]} at {seconds:.1f} s")
    return rows, titles


def _at(folder: Path, logged: Logged, agent: int, record: CellRecord, flow: int, at: float) -> Ints:
    """The row of the flow's last window that ended before `at`."""
    import numpy as np
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(
            folder / "decisions.parquet", columns=["flow", "generation", "window_end_ns"]
        )
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{folder / 'decisions.parquet'}: cannot be read: {first}") from None
    columns = {name: table[name].to_numpy() for name in table.column_names}
    own = columns["flow"] == flow
    mine = logged.rows["agent"] == agent
    mine &= np.isin(logged.rows["generation"], np.unique(columns["generation"][own]))
    mine &= np.isin(logged.rows["end_ns"], columns["window_end_ns"][own])
    mine &= logged.rows["end_ns"] <= record.start_ns + at * 1e9
    rows = np.flatnonzero(mine)
    if not len(rows):
        flows = ", ".join(str(number) for number in np.unique(columns["flow"]).tolist())
        raise UserError(
            f"--flow {flow} --at {at:g}: no logged window of it before; flows of {folder.name}: "
            f"{flows or 'none'}"
        )
    return rows[[np.argmax(logged.rows["end_ns"][rows])]]


def _answering(logged: Logged) -> str:
    """The model that answered, or the rule policy where none did."""
    for column in ("model", "rule"):
        if logged.names[column]:
            return logged.names[column][0]
    raise UserError("the logged inputs hold no answer; name a policy with --policy")


def _checkpoint(name: str, model: str | None) -> Path | None:
    """What integrated gradients need: the checkpoint, where PyTorch is installed."""
    from importlib.util import find_spec

    from policy.model.info import resolve

    return resolve(model or name) if find_spec("torch") else None


def _serving(name: str, model: str | None) -> dict[str, float]:
    """How the policy's actions become rates: a model's own settings, else the action itself."""
    from policy.explain.policies import is_model
    from policy.model.info import read_info, resolve

    if not is_model(name):
        return {"rate_gain": 1.0}
    return read_info(resolve(model or name)).serving.model_dump()


def _show(console: Console, explanation: Explanation, titles: list[str], out: Path) -> None:
    """The explanation in a few lines."""
    from policy.explain.distil import rules
    from policy.explain.page import summary

    told = summary(explanation, titles)
    for each in told["decisions"]:
        factor, calm = 2 ** each["action_log2"], 2 ** each["calm_log2"]
        console.print(
            f"[bold]{escape(each['decision'])}[/]  asked for {factor:.2f} × its estimate; a calm "
            f"flow would have for {calm:.2f} ×"
        )
        parts = ", ".join(f"{field} {part:+.2f}" for field, part in each["parts_log2"].items())
        console.print(f"    octaves by field: {parts}")
        for words in each["counterfactuals"]:
            console.print(f"    {words}")
    moved = ", ".join(f"{name} {move:.3f}" for name, move in told["deletion_octaves"].items())
    console.print(f"deletion, mean move of the action in octaves: {moved}")
    if told["agreement"] is not None:
        console.print(f"{told['attribution']} and occlusion correlate by {told['agreement']:.2f}")
    if explanation.tree is None:
        console.print(f"no tree: {escape(explanation.why)}")
    else:
        tree = explanation.tree
        console.print(
            f"tree of {tree.tree.leaves} leaves: R2 {tree.held_out_r2:.3f} on "
            f"{len(tree.wanted)} held-out windows ({tree.fitted_r2:.3f} on its own)"
        )
        console.print(escape(rules(tree.tree)))
        console.print(f"as a policy: --cc policy:{out / 'tree.py'}:Tree", markup=False)
    console.print(f"page: {out / 'explain.html'}", markup=False)
