"""First answers of a real policy server with the LLM, under the stresses of `adaptive`.

    python -m experiments.apc.live

Agents with synthetic flows (`bench.server_load`) play against `python -m policy` on this machine:
60 flows, of which 30 % have loss and a queue. Every stress lasts 9 s and sets in after 3: twice the
flows within a second; the engine held still half of the time; 10 % difficult flows, then 90, then
10; twice the flows in bursts. A first answer is the rule policy's, from the batch that closed the
window to the parsed decision.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import grpc
import numpy as np

from bench.cpu import children
from bench.server_load import WARM_UP_S, Meter, SyntheticAgent, play
from experiments.congestion.output import markdown
from policy.python import python_command

FLOWS, AGENTS, ACKS = 60, 4, 5
LENGTH_S = 9.0
DEADLINE_MS = 100.0
_PAUSE_S = 0.01


class Changing(SyntheticAgent):
    """An agent whose share of difficult flows changes."""

    def set_poor(self, share: float) -> None:
        """The first flows, up to the share, are difficult from now on."""
        self.poor = np.arange(self.flows) < share * self.flows
        self.constant = [
            self._constant(np.flatnonzero(self.phase % self.every == k)) for k in range(self.every)
        ]


@dataclass(frozen=True)
class Stress:
    """joins: when further agents begin and for how long, s; shares: difficult flows from when on;
    held: from when to when the engine is held still every other 10 ms.
    """

    name: str
    joins: Sequence[tuple[float, float]] = ()
    shares: Sequence[tuple[float, float]] = ((0.0, 0.3),)
    held: tuple[float, float] | None = None


STRESSES = (
    Stress("steady"),
    Stress("load doubles within 1 s", joins=[(3 + k / AGENTS, 6 - k / AGENTS) for k in range(4)]),
    Stress("engine slowed by half", held=(3.0, 8.0)),
    Stress("difficult flows 10-90-10 %", shares=((0.0, 0.1), (3.0, 0.9), (6.0, 0.1))),
    Stress(
        "flows join in bursts",
        joins=[(at, 1.0) for at in (1.0, 3.0, 5.0, 7.0) for _ in range(AGENTS)],
    ),
)


@dataclass(frozen=True)
class Measured:
    """Latencies of first answers, ms; shares of the windows; how late the load itself was, ms."""

    p50_ms: float
    p999_ms: float
    most_ms: float
    windows: int
    late: float
    by_model: float
    behind_ms: float


async def stressed(address: str, stress: Stress, server: subprocess.Popen[str]) -> Measured:
    """Play one stress."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    meter = Meter(int(DEADLINE_MS * 1e6))
    agents: list[Changing] = []
    channels: list[grpc.aio.Channel] = []

    async def agent(at_s: float, lasts_s: float) -> float:
        await asyncio.sleep(max(0.0, begun + at_s - loop.time()))
        player = Changing(FLOWS // AGENTS, ACKS, 0.0, len(agents))
        player.set_poor(share_at(stress, loop.time() - begun - WARM_UP_S))
        agents.append(player)
        channel = grpc.aio.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        channels.append(channel)
        until_ns = time.monotonic_ns() + int(lasts_s * 1e9)
        return await play(player, channel, "apc", meter, until_ns)

    async def shares() -> None:
        for at_s, share in stress.shares[1:]:
            await asyncio.sleep(max(0.0, begun + WARM_UP_S + at_s - loop.time()))
            for player in agents:
                player.set_poor(share)

    async def hold() -> None:
        if stress.held is None:
            return
        first, last = (begun + WARM_UP_S + at_s for at_s in stress.held)
        await asyncio.sleep(max(0.0, first - loop.time()))
        workers = children(server.pid)
        try:
            while loop.time() < last:
                for signum in (signal.SIGSTOP, signal.SIGCONT):
                    for worker in workers:
                        os.kill(worker, signum)
                    await asyncio.sleep(_PAUSE_S)
        finally:
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGCONT)

    async def measure() -> None:
        await asyncio.sleep(WARM_UP_S)
        meter.measuring = True
        await asyncio.sleep(LENGTH_S)
        meter.measuring = False

    whole = [agent(0.0, WARM_UP_S + LENGTH_S) for _ in range(AGENTS)]
    later = [agent(WARM_UP_S + at_s, lasts_s) for at_s, lasts_s in stress.joins]
    *behind, _, _, _ = await asyncio.gather(*whole, *later, shares(), hold(), measure())
    for channel in channels:
        await channel.close()
    latency = np.repeat([each for each, _ in meter.first], [count for _, count in meter.first])
    model = sum(count for each, count in meter.model if each <= DEADLINE_MS)
    return Measured(
        *(float(np.percentile(latency, q)) for q in (50, 99.9, 100)),
        windows=len(latency),
        late=float((latency > DEADLINE_MS).mean()),
        by_model=model / len(latency),
        behind_ms=max(behind),
    )


def share_at(stress: Stress, at_s: float) -> float:
    """The share of difficult flows in force then."""
    return [share for since_s, share in stress.shares if since_s <= max(at_s, 0.0)][-1]


def start(folder: Path, scheduler: str) -> subprocess.Popen[str]:
    """A server of our own; returns when it is ready."""
    config = folder / "policy.json"
    settings = {
        "listen": f"unix:{folder}/policy.sock",
        "difficult": "llm",
        "scheduler": scheduler,
        "log": "warning",
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    server = subprocess.Popen(python_command("policy", config), stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    if not server.stdout.readline().startswith("ready"):
        raise SystemExit("the server did not start")
    return server


def table(found: Sequence[tuple[str, str, Measured]]) -> str:
    """A line for each scheduler and stress."""
    show: Callable[[Measured], tuple[str, ...]] = lambda m: (  # noqa: E731
        f"{m.p50_ms:.1f}",
        f"{m.p999_ms:.1f}",
        f"{m.most_ms:.1f}",
        f"{100 * m.late:.3f}",
        f"{100 * m.by_model:.0f}",
        f"{m.windows}",
        f"{m.behind_ms:.0f}",
    )
    headings = (
        "scheduler", "stress", "first answer p50, ms", "p99.9, ms", "largest, ms", "late, %",
        "LLM in time, % of windows", "windows", "load late by, ms",
    )  # fmt: skip
    return markdown(headings, [(name, stress, *show(m)) for name, stress, m in found])


@click.command(help=__doc__)
@click.option("--scheduler", "schedulers", multiple=True, default=("adaptive",), show_default=True)
@click.option("--only", type=int, multiple=True, help="Numbers of stresses, from 0 on.")
def main(schedulers: tuple[str, ...], only: tuple[int, ...]) -> None:
    found = []
    for scheduler in schedulers:
        with tempfile.TemporaryDirectory() as folder:
            server = start(Path(folder), scheduler)
            try:
                for number, stress in enumerate(STRESSES):
                    if not only or number in only:
                        address = f"unix:{folder}/policy.sock"
                        measured = asyncio.run(stressed(address, stress, server))
                        found.append((scheduler, stress.name, measured))
                        click.echo(f"{scheduler}, {stress.name}: {measured}", err=True)
            finally:
                server.terminate()
                server.wait()
    click.echo(table(found))


if __name__ == "__main__":
    main()
