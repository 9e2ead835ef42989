"""How well a tree of at most 31 leaves stands in for the LLM, on traces that it has not seen.

    python -m experiments.apc.tree

The LLM drives flows in the closed loop of `policy.tasks.congestion.simulator` over bundled traces;
the tree is fitted to what it decided on every other trace and judged on the rest, by R2 and as a
policy of its own beside the LLM and the rule policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from numpy.typing import NDArray

import traces
from experiments.congestion.output import markdown
from policy.api import Actions, FlowBatch, Policy, PolicyContext
from policy.explain.distil import LEAVES, Distilled, r2, rules, write_policy
from policy.explain.readable import readable
from policy.explain.tree import fit
from policy.model.info import read_info, resolve
from policy.model.policy import ModelPolicy, load_policy
from policy.registry import create
from policy.tasks.congestion.simulator import Links, Outcome, PolicyController, simulate

Floats = NDArray[np.float64]
TRACES = ("lte-driving", "lte-walking", "wifi", "5g-mmwave", "satellite", "outage")
RTTS_MS = (20, 60)


class Recorder:
    """Decides as the model does, and keeps what it saw and said."""

    name = "recorder"

    def __init__(self, model: ModelPolicy) -> None:
        self._model = model
        self.features: list[Floats] = []
        self.actions: list[Floats] = []

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        self.features.append(readable(batch))
        self.actions.append(self._model.outputs(batch).astype(np.float64))
        actions: Actions = self._model.decide(batch, now_ns)
        return actions

    def forget(self, flows: Sequence[int]) -> None:
        """No flow ends in the simulated loop."""


def links(names: Sequence[str], seconds: int) -> Links:
    """A link for each trace and RTT, with buffers of 4 BDP."""
    edges = np.arange(seconds * 1000 + 1) * 1_000_000
    loaded = [traces.load(name) for name in names]
    one = np.stack([trace.capacity_bytes(edges[:-1], edges[1:]) * 8e3 for trace in loaded], axis=1)
    capacity = np.tile(one, (1, len(RTTS_MS)))
    rtt_ms = np.repeat(RTTS_MS, len(loaded))
    buffer = np.maximum(4 * capacity.mean(axis=0) * rtt_ms / 8e3, 15_000.0)
    return Links(capacity, rtt_ms, buffer)


def driven(policy: Policy, names: Sequence[str], seconds: int) -> Outcome:
    """The closed loop on these traces, its first two seconds left out of the summary."""
    road = links(names, seconds)
    controller = PolicyController(policy, road.capacity_bps.shape[1])
    return simulate(road, controller, skip_ms=2000)


@click.command(help=__doc__)
@click.option("--seconds", default=15, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the tree's file there.")
def main(seconds: int, out: Path | None) -> None:
    model = load_policy("llm", device="cpu")
    fitted, judged = Recorder(model), Recorder(model)
    driven(fitted, TRACES[::2], seconds)
    by_model = driven(judged, TRACES[1::2], seconds)
    features, actions = np.concatenate(fitted.features), np.concatenate(fitted.actions)
    tree = fit(features, actions, LEAVES)
    wanted = np.concatenate(judged.actions)
    predicted = tree.predict(np.concatenate(judged.features))
    found = Distilled(
        tree, r2(tree.predict(features), actions), r2(predicted, wanted), predicted, wanted
    )
    serving = read_info(resolve("llm")).serving.model_dump()
    with TemporaryDirectory() as folder:
        file = out or Path(folder) / "tree.py"
        write_policy(file, found, "llm in the simulated loop", serving)
        flows = len(RTTS_MS) * len(TRACES[1::2])
        outcomes = {"llm": by_model}
        for name in (f"{file}:Tree", "persistence"):
            policy = create(name, PolicyContext(flows))
            outcomes[policy.name] = driven(policy, TRACES[1::2], seconds)
    rows = [
        (
            name,
            f"{100 * outcome.utilisation.mean():.1f}",
            f"{outcome.queueing_p95_ms.mean():.1f}",
            f"{100 * outcome.loss_rate.mean():.2f}",
        )
        for name, outcome in outcomes.items()
    ]
    click.echo(
        f"{tree.leaves} leaves from {len(actions)} windows; R2 {found.fitted_r2:.3f} on them, "
        f"{found.held_out_r2:.3f} on {len(wanted)} windows of other traces\n"
    )
    click.echo(markdown(("policy", "utilisation, %", "queueing p95, ms", "loss, %"), rows))
    click.echo(rules(tree))


if __name__ == "__main__":
    main()
