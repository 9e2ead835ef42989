"""What `tbtest run --live` costs: it reads a growing packet log and draws, ten times a second.

    .venv/bin/python -P bench/live.py [--flows 16] [--mbps 80]

Prints the processor's time of a reading and the share of a core. No root, no traffic: the records
are made up beforehand, as a relay writes them.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.live import Live

from testbed.links.base import DirectionSample, LinkSample
from testbed.links.relay.log import RECORD
from testbed.ports import RECEIVER_PORT, SENDER_PORT
from testbed.run.live import FlowLines, LiveView

READINGS, EVERY_NS = 300, 100_000_000
ACKS = 1 / 3  # of all packets


def records(flows: int, mbps: float, reading: int) -> bytes:
    """What a relay logs between two readings."""
    random = np.random.default_rng(reading)
    count = int(mbps * 1e6 * EVERY_NS / 1e9 / 12_000 / (1 - ACKS))
    made = np.zeros(count, RECORD)
    flow, ack = random.integers(0, flows, count), random.random(count) < ACKS
    ports = SENDER_PORT + flow, RECEIVER_PORT + flow
    made["source_port"] = np.where(ack, ports[1], ports[0])
    made["destination_port"] = np.where(ack, ports[0], ports[1])
    made["enqueue_ns"] = (reading + 1) * EVERY_NS
    made["dequeue_ns"] = made["enqueue_ns"] + random.integers(0, 50_000_000, count)
    made["size_bytes"] = 1500
    return made.tobytes()


class Shown(LiveView):
    """The view on a terminal that nobody watches."""

    def __init__(self) -> None:
        super().__init__(1, quiet=False)
        self._console = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
        self._flows = FlowLines()
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        )


@click.command()
@click.option("--flows", default=16, type=click.IntRange(1, 900))
@click.option("--mbps", default=80.0, type=click.FloatRange(min=0.1), help="Of all flows together.")
def main(flows: int, mbps: float) -> None:
    """Measures the live view."""
    still = DirectionSample(0, 0, 0, 0, 0, 0, 0)
    written = [records(flows, mbps, reading) for reading in range(READINGS)]
    with tempfile.TemporaryDirectory() as name, Shown() as view:
        folder = Path(name)
        with (folder / "link-0.packets").open("ab", buffering=0) as file:
            view.begin("bench", folder)
            used_s = 0.0
            for reading, data in enumerate(written):
                file.write(data)
                before_s = time.thread_time()
                view.sample(LinkSample(reading * EVERY_NS, still, still), reading * EVERY_NS)
                used_s += time.thread_time() - before_s
    each_s = used_s / READINGS
    text = f"{each_s * 1e3:.2f} ms a reading: {each_s * 1e9 / EVERY_NS:.1%} of a core"
    print(f"{flows} flows, {mbps:g} Mbit/s: {text}", file=sys.__stdout__)


if __name__ == "__main__":
    main()
