"""What an answer of the LLM is worth beside the rule policy's, from the same state: a data set.

    python -m experiments.apc.pairs --out pairs.npz

Every link of the closed loop (`policy.tasks.congestion.simulator`) is run many times side by side.
In one run the rule policy answers all windows; in each of the others the LLM answers those of one
second, and the rule policy the rest. Until then the two runs are the same, so what differs after is
the LLM's doing: `gain`, the difference of log2 of power (delivery rate over RTT) over that second
and the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

import traces
from policy.api import Actions, FlowBatch, Policy, PolicyContext
from policy.model.load import load_policy
from policy.model.policy import ModelPolicy
from policy.registry import create
from policy.scheduler.features import features
from policy.scheduler.rules import RuleScheduler
from policy.scheduler.thresholds import ApcConfig
from policy.tasks.congestion.simulator import Links, Outcome, PolicyController, simulate
from traces.generators import generate
from traces.model import Trace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BUNDLED = ("lte-driving", "lte-walking", "wifi", "5g-mmwave", "satellite", "outage")
GENERATED = ("lte", "wifi", "5g-mmwave", "satellite", "outages")
RTTS_MS = (20, 60)
FIRST_S = 2
"""The first second that the LLM may answer; until then flows start up."""
WINDOWS_PER_S = 10
BUFFER_BDPS = 2.0


@dataclass(frozen=True)
class Roads:
    """Links, and which trace each replays; [m]."""

    links: Links
    trace: NDArray[np.str_]


def roads(seeds: Sequence[int], seconds: int) -> Roads:
    """A link for each trace and RTT: the bundled traces, with seed 0, and one of each kind that is
    generated for every seed.
    """
    bundled = BUNDLED if 0 in seeds else ()
    chosen: list[Trace] = [traces.load(name) for name in bundled]
    for seed in seeds:
        chosen += [generate(kind, 7000 + seed, seconds + 1.0) for kind in GENERATED]
    names = [*bundled, *(f"{kind}-{seed}" for seed in seeds for kind in GENERATED)]
    edges = np.arange(seconds * 1000 + 1) * 1_000_000
    one = np.stack([trace.capacity_bytes(edges[:-1], edges[1:]) * 8e3 for trace in chosen], axis=1)
    # Faster ones would take the simulator most of its time, and no longer trace is as fast.
    one *= np.minimum(1.0, 50e6 / np.maximum(one.mean(axis=0), 1.0))
    capacity = np.tile(one, (1, len(RTTS_MS)))
    rtt_ms = np.repeat(RTTS_MS, len(chosen))
    buffer = np.maximum(BUFFER_BDPS * capacity.mean(axis=0) * rtt_ms / 8e3, 15_000.0)
    return Roads(Links(capacity, rtt_ms, buffer), np.tile(np.array(names), len(RTTS_MS)))


class InTurn:
    """The rule policy, but for the flows whose second it is: those the LLM answers. Copy c of a
    link has flow number c × links + link; the first copy is never the LLM's.
    """

    name = "in-turn"

    def __init__(self, model: ModelPolicy, rule: Policy, links: int, copies: int) -> None:
        self._model, self._rule = model, rule
        self._links, self._copies = links, copies
        self._scheduler = RuleScheduler(links, ApcConfig())
        self._began = time.monotonic()
        self.states: list[Floats] = []  # of the rule policy's runs, [links, features]
        self.difficulty: list[Floats] = []
        self.difficult: list[NDArray[np.bool_]] = []

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy. Called with all flows, in order."""
        n, window = self._links, now_ns // 100_000_000
        turn = 1 + (window - 1) // WINDOWS_PER_S - FIRST_S  # of the copy that this second is of
        chosen = np.zeros(len(batch), bool)
        if 1 <= turn < self._copies:
            chosen[turn * n : (turn + 1) * n] = True
        rule = self._rule.decide(batch, now_ns)
        rate, cwnd = rule.pacing_rate_bps.copy(), rule.cwnd_packets.copy()
        if chosen.any():
            model = self._model.decide(batch.only(chosen), now_ns)
            rate[chosen], cwnd[chosen] = model.pacing_rate_bps, model.cwnd_packets
        base = batch.only(np.arange(len(batch)) < n)
        self.difficult.append(self._scheduler.observe(base) > 0)
        self.difficulty.append(self._scheduler.difficulty.copy())
        self.states.append(features(base))
        if window % WINDOWS_PER_S == 0:
            click.echo(f"{window // 10} s, {time.monotonic() - self._began:.0f} s taken", err=True)
        return Actions(rate, cwnd)

    def forget(self, flows: Sequence[int]) -> None:
        """No flow ends in the simulated loop."""


def log_power(outcome: Outcome, rtt_ms: Floats, first_ms: int, last_ms: int) -> Floats:
    """log2 of delivery rate (Mbit/s) over RTT (ms) in [first_ms, last_ms), float64[flows]."""
    sent = outcome.delivered_bytes[first_ms:last_ms]
    waited = (outcome.queueing_ms[first_ms:last_ms] * sent).sum(axis=0)
    total = np.maximum(sent.sum(axis=0), 1448.0)
    mbps = total * 8e-3 / (last_ms - first_ms)
    power: Floats = np.log2(mbps) - np.log2(rtt_ms + waited / total)
    return power


def collect(found: Roads, seconds: int, model: ModelPolicy) -> dict[str, NDArray[np.generic]]:
    """Columns of the data set. Of pairs, [p]: state at the second's start, what the rules say then,
    gain, link and second.
    """
    m, links = len(found.trace), found.links
    seconds_judged = np.arange(FIRST_S, seconds - 1)
    copies = len(seconds_judged) + 1
    wide = Links(
        np.tile(links.capacity_bps, (1, copies)),
        np.tile(links.rtt_ms, copies),
        np.tile(links.buffer_bytes, copies),
    )
    flows = m * copies
    policy = InTurn(model, create("persistence", PolicyContext(flows)), m, copies)
    outcome = simulate(wide, PolicyController(policy, flows))
    rtt_ms = wide.rtt_ms.astype(np.float64)
    gains, states, difficulty, difficult = [], [], [], []
    for copy, second in enumerate(seconds_judged.tolist(), start=1):
        power = log_power(outcome, rtt_ms, 1000 * second, 1000 * (second + 2)).reshape(copies, m)
        gains.append(power[copy] - power[0])
        window = second * WINDOWS_PER_S - 1  # the one that closes as the second begins
        states.append(policy.states[window])
        difficulty.append(policy.difficulty[window])
        difficult.append(policy.difficult[window])
    count = len(seconds_judged)
    return {
        "gain": np.concatenate(gains),
        "state": np.concatenate(states),
        "difficulty": np.concatenate(difficulty),
        "difficult": np.concatenate(difficult),
        "link": np.tile(np.arange(m), count),
        "trace": np.tile(found.trace, count),
        "second": np.repeat(seconds_judged, m),
    }


def roads_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a script that collects on roads."""
    options = (
        click.option("--seconds", default=14, show_default=True),
        click.option("--seeds", default=2, show_default=True, help="Of generated traces."),
        click.option("--first-seed", default=0, show_default=True),
        click.option("--out", type=click.Path(path_type=Path), required=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(help=__doc__)
@roads_options
def main(seconds: int, seeds: int, first_seed: int, out: Path) -> None:
    found = roads(range(first_seed, first_seed + seeds), seconds)
    columns = collect(found, seconds, load_policy("llm", device="cpu"))
    np.savez_compressed(out, **columns)  # type: ignore[arg-type]
    click.echo(f"{len(columns['gain'])} pairs on {len(found.trace)} links: {out}")


if __name__ == "__main__":
    main()
