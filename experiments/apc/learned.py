"""A learned scheduler beside rules, chance and an oracle, at equal shares of the LLM.

    python -m experiments.apc.pairs --out pairs.npz
    python -m experiments.apc.learned pairs.npz --save policy/scheduler/learned.json

A network is fitted to the pairs of all traces but a fifth of them, and chooses among the seconds of
the others, for each fifth in turn. Every chooser gives the same number of seconds to the LLM, those
it puts first; what that gains, in octaves of power and over all seconds, is known from the pairs.
The oracle puts first what gains most. Intervals: 95 %, from resamples of traces.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from experiments.congestion.output import markdown
from policy.scheduler.features import COUNT, NAMES

Floats = NDArray[np.float64]
Network = tuple[Floats, Floats, Floats, float]
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
FOLDS, HIDDEN, STEPS, LEARNING_RATE, DECAY = 5, 16, 500, 0.01, 2.0
"""Chosen on the pairs of seeds 0 to 15: 16 hidden units were ahead of 8 and close to 32."""
RESAMPLES = 2000
CLIP = 0.3
"""Octaves: a larger gain or loss counts as this when the network is fitted."""


def fit(state: Floats, gain: Floats, seed: int = 0) -> Network:
    """A network for `policy.scheduler.features.scores`, by least squares with weight decay."""
    torch.manual_seed(seed)
    mean, deviation = state.mean(axis=0), np.maximum(state.std(axis=0), 1e-6)
    x = torch.tensor((state - mean) / deviation, dtype=torch.float32)
    y = torch.tensor(np.clip(gain, -CLIP, CLIP), dtype=torch.float32)
    first, last = torch.nn.Linear(COUNT, HIDDEN), torch.nn.Linear(HIDDEN, 1)
    net = torch.nn.Sequential(first, torch.nn.ReLU(), last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = ((net(x)[:, 0] - y) ** 2).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    # The features' scale becomes a part of the hidden layer.
    weight = first.weight.detach().double().numpy() / deviation
    bias = first.bias.detach().double().numpy() - weight @ mean
    outer = last.weight.detach().double().numpy()[0]
    return weight, bias, outer, float(last.bias.detach())


def predict(network: Network, state: Floats) -> Floats:
    """As the compiled loop does."""
    weight, bias, outer, last = network
    hidden = np.maximum(state @ weight.T + bias, 0)
    gain: Floats = hidden @ outer + last
    return gain


def crossed(pairs: Mapping[str, Any]) -> Floats:
    """The gain predicted for every pair by a network that has not seen its trace."""
    names = sorted(set(pairs["trace"].tolist()))
    order = np.random.default_rng(0).permutation(len(names))
    fold_of = {names[place]: index % FOLDS for index, place in enumerate(order)}
    fold = np.array([fold_of[name] for name in pairs["trace"]])
    found = np.zeros(len(fold))
    for held_out in range(FOLDS):
        train = fold != held_out
        network = fit(pairs["state"][train], pairs["gain"][train])
        found[~train] = predict(network, pairs["state"][~train])
    return found


def worth(order: Floats, gain: Floats, share: float) -> Floats:
    """The gain of each pair that is among the `share` with the highest order, 0 of the others."""
    count = round(share * len(order))
    chosen = np.zeros(len(order), bool)
    chosen[np.argsort(-order, kind="stable")[:count]] = True
    return np.where(chosen, gain, 0.0)


def interval(trace: NDArray[np.str_], values: Callable[[NDArray[np.int64]], float]) -> str:
    """95 % of what `values` says of resampled traces, in brackets."""
    random = np.random.default_rng(1)
    rows_of = [np.flatnonzero(trace == name) for name in np.unique(trace)]
    found = [
        values(
            np.concatenate([rows_of[k] for k in random.integers(len(rows_of), size=len(rows_of))])
        )
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return f"[{low:.3f}, {high:.3f}]"


def compare(pairs: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A line for each share: what each chooser gains in the mean over all seconds, and how much of
    the gap between rules and oracle the learned one closes.
    """
    gain, trace = pairs["gain"], pairs["trace"]
    random = np.random.default_rng(2).random(len(gain))
    orders = {
        "random": random,
        # Flows that a rule holds come first, the most difficult of them first.
        "rules": pairs["difficulty"] + 100.0 * pairs["difficult"],
        "learned": crossed(pairs),
        "oracle": gain,
    }
    lines = []
    for share in SHARES:
        worths = {name: worth(order, gain, share) for name, order in orders.items()}
        cells = [
            f"{1000 * each.mean():.1f}"
            + interval(trace, lambda rows, each=each: 1000 * float(each[rows].mean())).replace(
                "[", " ["
            )
            for each in worths.values()
        ]

        def closed(rows: NDArray[np.int64], worths: dict[str, Floats] = worths) -> float:
            rules, learned, oracle = (
                worths[name][rows].mean() for name in ("rules", "learned", "oracle")
            )
            return float((learned - rules) / (oracle - rules))

        everything = np.arange(len(gain))
        lines.append(
            (f"{share:.0%}", *cells, f"{closed(everything):.2f} {interval(trace, closed)}")
        )
    return lines


def save(path: Path, network: Network, about: Mapping[str, Any]) -> None:
    """Write the network as `policy.scheduler.learned` reads it."""
    weight, bias, outer, last = network
    record = {
        "about": dict(about),
        "names": list(NAMES),
        "inner_weight": [[round(value, 5) for value in row] for row in weight.tolist()],
        "inner_bias": [round(value, 5) for value in bias.tolist()],
        "outer_weight": [round(value, 5) for value in outer.tolist()],
        "outer_bias": round(last, 5),
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read(paths: tuple[Path, ...]) -> dict[str, Any]:
    """The pairs of several files as one."""
    loaded = [np.load(path, allow_pickle=False) for path in paths]
    keys = ("gain", "state", "difficulty", "difficult", "trace")
    return {key: np.concatenate([one[key] for one in loaded]) for key in keys}


@click.command(help=__doc__)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--save", "save_to", type=click.Path(path_type=Path), help="Write the network there.")
def main(files: tuple[Path, ...], save_to: Path | None) -> None:
    torch.set_num_threads(1)
    pairs = read(files)
    gain = pairs["gain"]
    predicted = crossed(pairs)
    r2 = 1 - ((predicted - gain) ** 2).sum() / ((gain - gain.mean()) ** 2).sum()
    about = {
        "pairs": len(gain),
        "traces": len(np.unique(pairs["trace"])),
        "mean_gain": round(float(gain.mean()), 4),
        "r2_on_other_traces": round(float(r2), 3),
        "rank_correlation": round(_rank_correlation(predicted, gain), 3),
        "rules_rank_correlation": round(_rank_correlation(pairs["difficulty"], gain), 3),
    }
    click.echo(json.dumps(about))
    quantiles = np.percentile(gain, [0, 5, 25, 50, 75, 95, 100])
    click.echo(f"gain, octaves, at 0, 5, 25, 50, 75, 95, 100 %: {np.round(quantiles, 3).tolist()}")
    headings = ("LLM, share of seconds", "random", "rules", "learned", "oracle", "gap closed")
    click.echo(markdown(headings, compare(pairs)))
    if save_to is not None:
        save(save_to, fit(pairs["state"], gain), about)


def _rank_correlation(a: Floats, b: Floats) -> float:
    ranks = [np.argsort(np.argsort(each)) for each in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


if __name__ == "__main__":
    main()
