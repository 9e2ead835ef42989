"""How well a tree of at most 31 leaves stands in for the LLM, on traces that it has not seen.

    python -m experiments.apc.pairs --out pairs.npz
    python -m experiments.apc.tree pairs.npz

The LLM drives flows in the closed loop of `policy.tasks.congestion.simulator`
(`experiments.apc.pairs`); the tree is fitted to what it decided on two of three traces and judged
on the others, by R2, and as a policy of its own beside the LLM and the rule policy on those of
them that are bundled. Trees of more leaves, and a linear fit, say what the limit costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from numpy.typing import NDArray

import traces
from experiments.apc.pairs import BUNDLED, RTTS_MS
from experiments.congestion.output import markdown
from policy.api import Policy, PolicyContext
from policy.explain.distil import LEAVES, Distilled, r2, rules, write_policy
from policy.explain.readable import READABLE
from policy.explain.tree import fit
from policy.model.info import read_info, resolve
from policy.registry import create
from policy.tasks.congestion.simulator import Links, Outcome, PolicyController, simulate

Floats = NDArray[np.float64]
MORE_LEAVES = (15, LEAVES, 63, 127, 255)
_EVERY = 3  # trace is for judging


def judged_traces(names: Sequence[str]) -> list[str]:
    """Those that the tree does not see, of all names."""
    return sorted(set(names))[1::_EVERY]


def links(names: Sequence[str], seconds: int) -> Links:
    """A link for each trace and RTT, with buffers of 2 BDP."""
    edges = np.arange(seconds * 1000 + 1) * 1_000_000
    loaded = [traces.load(name) for name in names]
    one = np.stack([trace.capacity_bytes(edges[:-1], edges[1:]) * 8e3 for trace in loaded], axis=1)
    capacity = np.tile(one, (1, len(RTTS_MS)))
    rtt_ms = np.repeat(RTTS_MS, len(loaded))
    buffer = np.maximum(2 * capacity.mean(axis=0) * rtt_ms / 8e3, 15_000.0)
    return Links(capacity, rtt_ms, buffer)


def driven(policy: Policy, names: Sequence[str], seconds: int) -> Outcome:
    """The closed loop on these traces, its first two seconds left out of the summary."""
    road = links(names, seconds)
    controller = PolicyController(policy, road.capacity_bps.shape[1])
    return simulate(road, controller, skip_ms=2000)


def linear(features: Floats, action: Floats, judged: NDArray[np.bool_]) -> float:
    """R2 on the judged windows of a linear fit to the others."""
    scale = np.maximum(features[~judged].std(axis=0), 1e-9)
    wide = np.column_stack((features / scale, np.ones(len(features))))
    weights = np.linalg.lstsq(wide[~judged], action[~judged], rcond=1e-6)[0]
    return r2(wide[judged] @ weights, action[judged])


def fidelity(features: Floats, action: Floats, judged: NDArray[np.bool_]) -> str:
    """R2 of trees by their leaves, and of a linear fit."""
    rows = []
    for leaves in MORE_LEAVES:
        tree = fit(features[~judged], action[~judged], leaves)
        predicted = tree.predict(features)
        rows.append(
            (
                f"tree, {tree.leaves} leaves",
                f"{r2(predicted[~judged], action[~judged]):.3f}",
                f"{r2(predicted[judged], action[judged]):.3f}",
                f"{np.sqrt(((predicted - action)[judged] ** 2).mean()):.3f}",
            )
        )
    rows.append(("linear", "", f"{linear(features, action, judged):.3f}", ""))
    return markdown(("stand-in", "R2, fitted", "R2, other traces", "error, octaves"), rows)


@click.command(help=__doc__)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--seconds", default=10, show_default=True, help="Of the closed loop.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the tree's file there.")
def main(files: tuple[Path, ...], seconds: int, out: Path | None) -> None:
    loaded = [np.load(path, allow_pickle=False) for path in files]
    features, action, trace = (
        np.concatenate([one[key] for one in loaded]) for key in ("seen", "said", "seen_trace")
    )
    if features.shape[1] != len(READABLE):
        raise SystemExit("the files hold other features; run experiments.apc.pairs again")
    names = judged_traces(trace.tolist())
    judged = np.isin(trace, names)
    click.echo(
        f"{len(action)} windows of {len(set(trace.tolist()))} traces, deviation of the action "
        f"{action.std():.3f} octaves; judged on {', '.join(names)}\n"
    )
    click.echo(fidelity(features, action, judged))
    tree = fit(features[~judged], action[~judged], LEAVES)
    predicted = tree.predict(features)
    found = Distilled(
        tree,
        r2(predicted[~judged], action[~judged]),
        r2(predicted[judged], action[judged]),
        predicted[judged],
        action[judged],
    )
    serving = read_info(resolve("llm")).serving.model_dump()
    roads = [name for name in names if name in BUNDLED]
    with TemporaryDirectory() as folder:
        file = out or Path(folder) / "tree.py"
        write_policy(file, found, "llm in the simulated loop", serving)
        context = PolicyContext(len(RTTS_MS) * len(roads))
        outcomes = {}
        for name in ("llm", f"{file}:Tree", "persistence"):
            policy = create(name, context)
            outcomes[policy.name] = driven(policy, roads, seconds)
    rows = [
        (
            name,
            f"{100 * outcome.utilisation.mean():.1f}",
            f"{outcome.queueing_p95_ms.mean():.1f}",
            f"{100 * outcome.loss_rate.mean():.2f}",
        )
        for name, outcome in outcomes.items()
    ]
    click.echo(f"\nClosed loop, {seconds} s of {', '.join(roads)}:\n")
    click.echo(markdown(("policy", "utilisation, %", "queueing p95, ms", "loss, %"), rows))
    click.echo(rules(tree))


if __name__ == "__main__":
    main()
