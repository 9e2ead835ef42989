"""What APC's schedulers cost for each flow.

    python -m bench.scheduler

One batch of 1,000 flows with random windows, over and over: the least time of many is what the code
takes where nothing else wants the processor.
"""

from __future__ import annotations

import time

import click
import numpy as np

from policy.api import FlowBatch
from policy.scheduler.registry import NAMES, create
from policy.scheduler.thresholds import ApcConfig
from policy.tasks.congestion.fields import FIELDS, HISTORY

FLOWS, CALLS = 1000, 300


def random_batch(seed: int = 0) -> FlowBatch:
    """Flows whose windows hold numbers of the right size."""
    random = np.random.default_rng(seed)
    windows = random.lognormal(0, 1, (FLOWS, HISTORY, len(FIELDS))) * 1e6
    valid = np.ones((FLOWS, HISTORY), bool)
    bandwidth = random.lognormal(0, 1, FLOWS) * 5e6
    ones = np.ones(FLOWS)
    return FlowBatch(np.arange(FLOWS), windows, valid, bandwidth, ones * 4e7, ones * 1448)


def least_us(name: str) -> tuple[float, float]:
    """Microseconds a flow of `observe` and of `feedback`, the least of all calls."""
    scheduler = create(name, FLOWS, ApcConfig())
    batch, by_model = random_batch(), np.zeros(FLOWS, bool)
    took = np.zeros((CALLS, 2))
    for call in took:
        begun = time.perf_counter_ns()
        scheduler.feedback(batch, by_model)
        told = time.perf_counter_ns()
        scheduler.observe(batch)
        call[:] = time.perf_counter_ns() - told, told - begun
    observe, feedback = took.min(axis=0) / 1e3 / FLOWS
    return float(observe), float(feedback)


@click.command(help=__doc__)
def main() -> None:
    for name in NAMES:
        observe, feedback = least_us(name)
        click.echo(f"{name:10} observe {observe:.2f} µs a flow, feedback {feedback:.2f}")


if __name__ == "__main__":
    main()
