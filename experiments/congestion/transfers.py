"""How long transfers take on a connection that pauses between them.

In the simulator, a flow alone on each link: constant rates and bundled traces at several RTTs, a
buffer of 4 BDP, so many transfers of each size, one every 6 s. Median completion time in ms, and of
the first transfer, which begins a flow.

\b
    python -m experiments.congestion.transfers
    python -m experiments.congestion.transfers gcc mlp=policy/tasks/congestion/checkpoints/mlp
    python -m experiments.congestion.transfers persistence --objective 1     # for throughput
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

import traces
from experiments.congestion.closed_loop import controller
from experiments.congestion.output import markdown
from policy.objective import BALANCED
from policy.tasks.congestion.simulator import (
    MSS_BYTES,
    Controller,
    Links,
    TransportState,
    simulate,
)

Floats = NDArray[np.float64]
EVERY_MS, TRANSFERS = 6_000, 10
SIZES = tuple(round(kilobytes * 1e3 / MSS_BYTES) * MSS_BYTES for kilobytes in (50, 200, 400, 1000))
"""Bytes, whole packets: the simulator acknowledges no part of one."""
PATHS: tuple[tuple[str | float, int], ...] = (
    (12e6, 20),
    (30e6, 4),
    (30e6, 60),
    ("lte-walking", 20),
    ("wifi", 20),
)
"""A constant rate in bit/s or a bundled trace, and the RTT in ms."""


@dataclass(frozen=True)
class Transfers:
    """Data of these sizes, float64[flows], all at once every `EVERY_MS`."""

    sizes_bytes: Floats

    def observe(self, state: TransportState, step: int) -> None:
        """Not looked at."""

    def produce(self, step: int, backlog_bytes: Floats) -> Floats:
        """See `policy.tasks.congestion.simulator.loop.Source`."""
        return self.sizes_bytes * (step % EVERY_MS == 0)


def links() -> Links:
    """One for each path and size, in this order."""
    edges_ns = np.arange(TRANSFERS * EVERY_MS + 1) * 1_000_000
    capacity, rtts = [], []
    for name, rtt_ms in PATHS:
        trace = traces.load(name) if isinstance(name, str) else traces.constant(name)
        bps = trace.capacity_bytes(edges_ns[:-1], edges_ns[1:]) * 8e3
        capacity += [bps] * len(SIZES)
        rtts += [rtt_ms] * len(SIZES)
    bps, rtt_ms = np.stack(capacity, axis=1), np.array(rtts)
    return Links(bps, rtt_ms, np.maximum(4 * bps.mean(axis=0) * rtt_ms / 8e3, 30e3))


def completion_ms(made: Links, driver: Controller) -> Floats:
    """Until the link has delivered a transfer's last byte, float64[TRANSFERS, flows], NaN: it never
    did.
    """
    sizes = np.tile(np.array(SIZES), len(PATHS))
    outcome = simulate(made, driver, source=Transfers(sizes))
    arrived = outcome.delivered_bytes.cumsum(axis=0)
    number = np.arange(TRANSFERS)
    found = np.empty((TRANSFERS, len(sizes)))
    for flow, size in enumerate(sizes):
        # Half a byte less: sums of floating point.
        at_ms = np.searchsorted(arrived[:, flow], (number + 1) * size - 0.5)
        found[:, flow] = np.where(at_ms < len(arrived), at_ms - number * EVERY_MS, np.nan)
    return found


@click.command(help=__doc__)
@click.argument("controllers", nargs=-1, metavar="[NAME[=CHECKPOINT]]...")
@click.option("--objective", type=click.FloatRange(0, 1), default=BALANCED, show_default=True)
def main(controllers: tuple[str, ...], objective: float) -> None:
    made = links()
    columns: dict[str, Floats] = {}
    for one in controllers or ("cubic", "bbr", "persistence", "gcc"):
        tier, _, folder = one.partition("=")
        checkpoint = Path(folder) if folder else None
        driver = controller(tier, checkpoint, "cpu", len(made.rtt_ms), objective)
        columns[tier] = completion_ms(made, driver)
    rows = []
    for flow, ((name, rtt_ms), size) in enumerate(product(PATHS, SIZES)):
        link = name if isinstance(name, str) else f"{name / 1e6:g} Mbit/s"
        times = [
            f"{np.median(each[1:, flow]):.0f}, {each[0, flow]:.0f}" for each in columns.values()
        ]
        rows.append([f"{link}, {rtt_ms} ms", f"{size / 1e3:.0f}", *times])
    click.echo(markdown(["link, RTT", "kB", *columns], rows))


if __name__ == "__main__":
    main()
