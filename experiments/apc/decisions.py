"""What the LLM decides on its own in the closed loop: a data set for a tree in its place.

    python -m experiments.apc.decisions --seeds 4 --out decisions.npz

The LLM drives every link of `experiments.apc.pairs.roads`, alone. Kept of each window are what a
person can read of it (`policy.explain.readable`), the history as the LLM had it, and the LLM's
output: the action before the serving settings, which send no less than the bandwidth estimate and
more while a flow probes. Each history is asked about once more with noise in it, a hundredth of
every number: how far apart the answers are is how finely the LLM's answer depends on its input.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from experiments.apc.pairs import FIRST_S, WINDOWS_PER_S, Roads, roads, roads_options
from policy.api import Actions, FlowBatch
from policy.explain.readable import readable
from policy.model.load import load_policy
from policy.model.policy import ModelPolicy
from policy.tasks.congestion.simulator import PolicyController, simulate

Floats = NDArray[np.float64]
NOISE = 0.01


class Recorder:
    """The LLM, and what it saw and said. Every `_NOISED`th window is asked about with noise."""

    name = "recorder"
    _NOISED = 5

    def __init__(self, model: ModelPolicy) -> None:
        self._model, self.history = model, model.history
        self._random = np.random.default_rng(1)
        self._began = time.monotonic()
        self.seen: list[FlowBatch] = []
        self.said: list[Floats] = []
        self.noised: list[Floats] = []

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        said = self._model.outputs(batch)
        self.seen.append(batch)
        self.said.append(said.astype(np.float64))
        self.noised.append(np.full(len(batch), np.nan))
        if len(self.seen) % self._NOISED == 0:
            factor = 1 + NOISE * self._random.standard_normal(batch.windows.shape)
            noisy = replace(batch, windows=batch.windows * factor)
            self.noised[-1] = self._model.outputs(noisy).astype(np.float64)
        if len(self.seen) % WINDOWS_PER_S == 0:
            took_s = time.monotonic() - self._began
            click.echo(f"{now_ns / 1e9:.0f} s, {took_s:.0f} s taken", err=True)
        actions: Actions = self._model.actions(said, batch)
        return actions

    def forget(self, flows: Sequence[int]) -> None:
        """No flow ends in the simulated loop."""


def collect(found: Roads, model: ModelPolicy) -> dict[str, NDArray[np.generic]]:
    """Columns, [w]: readable features, history, action and that to noisy input, trace, window."""
    flows = len(found.trace)
    policy = Recorder(model)
    simulate(found.links, PolicyController(policy, flows))
    kept = slice(FIRST_S * WINDOWS_PER_S, None)
    windows = len(policy.said[kept])
    return {
        "seen": np.concatenate([readable(batch) for batch in policy.seen[kept]]),
        "seen_windows": np.concatenate([b.windows for b in policy.seen[kept]]).astype(np.float32),
        "said": np.concatenate(policy.said[kept]),
        "noised": np.concatenate(policy.noised[kept]),
        "seen_trace": np.tile(found.trace, windows),
        "seen_link": np.tile(np.arange(flows), windows),
        "seen_window": np.repeat(np.arange(windows), flows),
    }


@click.command(help=__doc__)
@roads_options
def main(seconds: int, seeds: int, first_seed: int, out: Path) -> None:
    found = roads(range(first_seed, first_seed + seeds), seconds)
    columns = collect(found, load_policy("llm", device="cpu"))
    np.savez_compressed(out, **columns)  # type: ignore[arg-type]
    click.echo(f"{len(columns['said'])} windows on {len(found.trace)} links: {out}")


if __name__ == "__main__":
    main()
