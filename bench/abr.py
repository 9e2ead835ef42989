"""How fast sessions of adaptive bitrate streaming are simulated and decided on this machine.

    .venv/bin/python bench/abr.py [--sessions 4096] [--repeats 5] [--decisions]

Chunks per second on one core, the greatest of the repeats: the simulator alone under each network
model, the rules, and a network of the default size; then a single decision of that network and of
the one that ships, in ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import click
import numpy as np

from policy.registry import ABR_DEFAULT
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.evaluate import load_checkpoint
from policy.tasks.abr.network import Model
from policy.tasks.abr.play import play
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.rules.base import Abr, Stateless
from policy.tasks.abr.session import Sessions, start
from policy.tasks.abr.video import Video

CHUNKS = 48
DECISIONS = 1000
LADDER = np.array([300.0, 750.0, 1200.0, 1850.0, 2850.0, 4300.0])


class Cycle(Stateless):
    """Takes the levels in turn: the simulator's own cost."""

    def decide(self, sessions: Sessions) -> np.ndarray:
        return np.full(len(sessions), sessions.chunk % sessions.video.levels)


def material(sessions: int) -> Callable[[Model], Sessions]:
    """Fresh sessions on drawn traces of 300 s, the same each time."""
    rng = np.random.default_rng(1)
    video = Video("drawn", 4000, LADDER, LADDER * 500 * rng.uniform(0.8, 1.2, (CHUNKS, 1)))
    rates = np.exp(rng.normal(0.3, 0.6, (64, 301)))
    traces = pack([Bandwidth(f"t{i}", np.arange(301.0), row) for i, row in enumerate(rates)])
    trace = np.arange(sessions) % 64
    return lambda model: start(video, traces, model=model, trace=trace)


def times(action: Callable[[], object], repeats: int) -> np.ndarray:
    """Seconds of each repeat; the first call, which compiles, is not counted."""
    action()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return np.array(taken)


def show_speeds(fresh: Callable[[Model], Sessions], decided: int, repeats: int) -> None:
    """Chunks per second of the simulator, the rules and a network."""
    from policy.tasks.abr.learned import Learned, make_net

    def show(name: str, policy: Abr, model: Model) -> None:
        seconds = times(lambda: play(policy, fresh(model)), repeats).min()
        click.echo(f"{name:<28}{decided / seconds:>14,.0f} chunks/s")

    for model in Model:
        show(f"simulator, {model.name.lower()}", Cycle(), model)
    for rule in ("bba", "rate", "bola", "dynamic", "robust-mpc"):
        show(rule, make_rule(rule), Model.PENSIEVE)
    show("network, mlp", Learned(make_net("mlp").eval()), Model.PENSIEVE)


def show_decisions(session: Sessions) -> None:
    """How long one decision takes: of PyTorch's network of the default size, and of what ships."""
    from policy.tasks.abr.learned import Learned, make_net

    networks = (
        ("a network of PyTorch", Learned(make_net("mlp").eval())),
        ("what ships, exported", load_checkpoint(ABR_DEFAULT)),
    )
    for name, policy in networks:
        decide = partial(policy.decide, session)
        middle, last = np.percentile(1000 * times(decide, DECISIONS), (50, 99))
        click.echo(f"one decision of {name}: median {middle:.2f} ms, p99 {last:.2f} ms")


@click.command()
@click.option("--sessions", type=click.IntRange(min=1), default=4096, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--decisions", is_flag=True, help="Only the time of one decision.")
def main(sessions: int, repeats: int, decisions: bool) -> None:
    """Print chunks per second, and one decision's time."""
    import torch

    torch.set_num_threads(1)
    fresh = material(sessions)
    if not decisions:
        show_speeds(fresh, sessions * (CHUNKS - 1), repeats)
    show_decisions(fresh(Model.PENSIEVE).take(np.zeros(1, np.int64)))


if __name__ == "__main__":
    main()
