"""How well a tree of at most 31 leaves stands in for the LLM, on traces that it has not seen.

    python -m experiments.apc.decisions --seeds 3 --out decisions.npz
    python -m experiments.apc.tree decisions.npz

The LLM drives flows in the closed loop of `policy.tasks.congestion.simulator`
(`experiments.apc.decisions`); the tree is fitted to what it decided on two of three traces and
judged on the others, by R2, and as a policy of its own beside the LLM and the rule policy on those
of them that are bundled. What the limit costs say trees of more leaves, a tree and networks on what
the LLM itself sees of the newest windows, and a network on the tree's numbers; and the LLM's answer
to the same history with noise says how fine its answers are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from numpy.typing import NDArray

import traces
from experiments.apc.decisions import NOISE
from experiments.apc.pairs import BUNDLED, RTTS_MS
from experiments.congestion.output import markdown
from policy.api import Policy, PolicyContext
from policy.explain.distil import LEAVES, Distilled, r2, rules, write_policy
from policy.explain.readable import READABLE
from policy.explain.tree import fit
from policy.model.info import read_info, resolve
from policy.registry import create
from policy.tasks.congestion.features import normalise
from policy.tasks.congestion.fields import F
from policy.tasks.congestion.history import with_estimates
from policy.tasks.congestion.simulator import (
    MSS_BYTES,
    Links,
    Outcome,
    PolicyController,
    simulate,
)

Floats = NDArray[np.float64]
MORE_LEAVES = (15, LEAVES, 63, 127, 255)
STEPS = 600
"""Of a network's training."""
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


def channels(windows: Floats) -> Floats:
    """What the LLM reads of histories, float64[n, HISTORY, F]: its own channels of each window."""
    n = len(windows)
    batch = with_estimates(
        np.arange(n), windows, np.ones(windows.shape[:2], bool), np.full(n, MSS_BYTES)
    )
    given = (batch.windows, batch.valid, batch.bandwidth_bps, batch.min_rtt_ns, batch.mss_bytes)
    read: Floats = normalise(*(torch.tensor(np.asarray(x, float)) for x in given)).numpy()
    return read.astype(np.float64)


def network(features: Floats, action: Floats, judged: NDArray[np.bool_]) -> tuple[float, float]:
    """R2 on the windows that a network of two layers of 64 was fitted to, and on the others."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    fitted = np.flatnonzero(~judged)
    scale = features[fitted].std(axis=0) + 1e-6
    wide = np.clip((features - features[fitted].mean(axis=0)) / scale, -5, 5)
    inputs, wanted = (torch.tensor(x, dtype=torch.float32) for x in (wide, action))
    layers = torch.nn.Sequential(
        torch.nn.Linear(inputs.shape[1], 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 1),
    )
    optimiser = torch.optim.AdamW(layers.parameters(), lr=2e-3, weight_decay=1e-3)
    for _ in range(STEPS):
        rows = random.choice(fitted, 512)
        loss = (layers(inputs[rows])[:, 0] - wanted[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        predicted = layers(inputs)[:, 0].numpy().astype(np.float64)
    return r2(predicted[~judged], action[~judged]), r2(predicted[judged], action[judged])


def fidelity(features: Floats, seen: Floats, action: Floats, judged: NDArray[np.bool_]) -> str:
    """R2 of trees by their leaves, and of what else stands in."""
    rows = []

    def judge(name: str, numbers: Floats, leaves: int) -> None:
        tree = fit(numbers[~judged], action[~judged], leaves)
        predicted = tree.predict(numbers)
        both = [r2(predicted[part], action[part]) for part in (~judged, judged)]
        error = np.sqrt(((predicted - action)[judged] ** 2).mean())
        rows.append(
            (f"tree, {tree.leaves} leaves, {name}", *(f"{x:.3f}" for x in both), f"{error:.3f}")
        )

    for leaves in MORE_LEAVES:
        judge("readable numbers", features, leaves)
    judge("the LLM's channels of the newest window", seen[:, -1], LEAVES)
    judge(f"of all {seen.shape[1]} windows", seen.reshape(len(seen), -1), LEAVES)
    networks = {"readable numbers": features}
    for windows in (1, 5, seen.shape[1]):
        networks[f"channels, {windows} windows"] = seen[:, -windows:].reshape(len(seen), -1)
    for name, numbers in networks.items():
        found = network(numbers, action, judged)
        rows.append((f"network, {name}", *(f"{x:.3f}" for x in found), ""))
    return markdown(("stand-in", "R2, fitted", "R2, other traces", "error, octaves"), rows)


@click.command(help=__doc__)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--seconds", default=10, show_default=True, help="Of the closed loop.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the tree's file there.")
def main(files: tuple[Path, ...], seconds: int, out: Path | None) -> None:
    loaded = [np.load(path, allow_pickle=False) for path in files]
    features, windows, action, noised, trace = (
        np.concatenate([one[key] for one in loaded])
        for key in ("seen", "seen_windows", "said", "noised", "seen_trace")
    )
    if features.shape[1] != len(READABLE):
        raise SystemExit("the files hold other features; run experiments.apc.decisions again")
    # Before the first ACK the numbers of a flow say nothing: a trace may begin with an outage.
    begun = windows[:, :, F["acks"]].sum(axis=1) > 0
    features, windows, action, noised, trace = (
        each[begun] for each in (features, windows, action, noised, trace)
    )
    names = judged_traces(trace.tolist())
    judged = np.isin(trace, names)
    click.echo(
        f"{len(action)} windows of {len(set(trace.tolist()))} traces, deviation of the action "
        f"{action.std():.3f} octaves; judged on {', '.join(names)}\n"
    )
    click.echo(fidelity(features, channels(windows.astype(np.float64)), action, judged))
    asked = np.isfinite(noised)
    error = np.sqrt(((noised - action)[asked] ** 2).mean())
    click.echo(
        f"Noise of {NOISE:.0%} in the history moves the LLM's answer by {error:.4f} octaves (R2 "
        f"{r2(noised[asked], action[asked]):.4f}).\n"
    )
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
