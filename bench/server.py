"""Plays many agents with thousands of synthetic flows against a policy server, and says how fast it answers.

    python bench/server.py                                    # light tier alone: 1000, 4000 and 10,000 flows
    python bench/server.py --policy apc --difficult llm --poor 0.2 --flows 100,1000
    python bench/server.py --server unix:/run/policy.sock     # a server that runs already

Without --server one is started, bound to CPU 0; the load comes from the other CPUs. Latency is taken at the agent, from
sending the StateBatch that closed the window to having parsed its decision.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import grpc
import numpy as np
from rich.console import Console
from rich.table import Table

from policy.protocol import VERSION
from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb
from policy.protocol.policy_pb2_grpc import PolicyStub

WINDOW_NS = 100_000_000
TICK_NS = 5_000_000
MSS = 1448
WARM_UP_S = 2.0


class SyntheticAgent:
    """Flows at 5 Mbit/s over 40 ms, their windows spread evenly over time; a share of them with loss and a queue."""

    def __init__(self, flows: int, acks_per_window: int, poor: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.flows, self.sequence = flows, 0
        self.every = max(WINDOW_NS // TICK_NS // acks_per_window, 1)  # ticks between ACKs of a flow
        self.phase = rng.permutation(flows)
        self.poor = rng.random(flows) < poor
        self.delivered = np.zeros(flows, np.int64)
        self.lost = np.zeros(flows, np.int64)
        self.window = np.zeros(flows, np.int64)
        self.pacing_bps = np.full(flows, 5e6)
        self.generation = np.ones(flows, np.int64)
        self.rng = rng
        self.begin()

    def begin(self) -> None:
        """Time zero is now."""
        self.start_ns = time.monotonic_ns()
        self.open_ns = self.start_ns - (self.phase % (WINDOW_NS // TICK_NS)) * TICK_NS

    def opening(self) -> pb.StateBatch:
        """The batch that opens all flows."""
        state = pb.StateBatch(sequence=self._next(), sent_ns=time.monotonic_ns())
        flow = np.arange(self.flows)
        col.pack(
            state.opens, col.OPENS, {"flow": flow, "generation": self.generation, "open_ns": self.open_ns}
        )
        return state

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    def batch(self, tick: int) -> tuple[pb.StateBatch, int]:
        """What happened in one tick: an ACK of every k-th flow, and the windows that end; and how many windows."""
        now = self.start_ns + tick * TICK_NS
        f = np.flatnonzero((self.phase + tick) % self.every == 0)
        step = 5e6 / 8 * TICK_NS * self.every / 1e9
        self.delivered[f] += int(step)
        hit = f[self.poor[f] & (self.rng.random(len(f)) < 0.2)]
        self.lost[hit] += MSS
        n = len(f)
        rtt_us = np.where(self.poor[f], 110_000, 41_000) + self.rng.integers(0, 2000, n)
        state = pb.StateBatch(sequence=self._next(), sent_ns=time.monotonic_ns())
        columns = {
            "flow": f,
            "generation": self.generation[f],
            "at_ns": np.full(n, now),
            "rtt_us": rtt_us,
            "srtt_us": rtt_us,
            "min_rtt_us": np.full(n, 40_000),
            "mss_bytes": np.full(n, MSS),
            "cwnd_packets": np.full(n, 30),
            "inflight_packets": np.full(n, 20),
            "pacing_rate_bps": self.pacing_bps[f],
            "sample_delivered_packets": np.full(n, 17),
            "sample_interval_us": rtt_us,
            "acked_bytes": self.delivered[f],
            "delivered_bytes": self.delivered[f],
            "lost_bytes": self.lost[f],
            "sent_bytes": self.delivered[f] + self.lost[f],
            "retransmitted_bytes": self.lost[f],
            "delivered_packets": self.delivered[f] // MSS,
            "delivered_ce_packets": np.zeros(n),
            "ca_state": np.zeros(n),
            "flags": np.zeros(n),
        }
        col.pack(state.records, col.ACK_RECORDS, columns)
        end_ns = self.open_ns + (self.window + 1) * WINDOW_NS
        ended = np.flatnonzero(end_ns <= now)
        windows = {
            "flow": ended,
            "generation": self.generation[ended],
            "window": self.window[ended],
            "end_ns": end_ns[ended],
        }
        col.pack(state.windows, col.WINDOWS, windows)
        self.window[ended] += 1
        return state, len(ended)

    def apply(self, decisions: pb.DecisionBatch) -> int:
        """Take the rates over; returns how many decisions there were."""
        columns = col.unpack(decisions, col.DECISIONS)
        self.pacing_bps[columns["flow"]] = columns["pacing_rate_bps"]
        return len(columns["flow"])


@dataclass
class Result:
    """One load level. Latencies in ms; asked: windows that closed."""

    flows: int
    agents: int
    asked: int
    decisions_per_s: float
    by_tier: dict[str, int]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    unanswered: int
    missed: int
    model_p50_ms: float
    model_p99_ms: float
    server_cpu: float
    generator_behind_ms: float


class Meter:
    """Collects answers of all agents."""

    def __init__(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns
        self.measuring = False
        self.asked = 0
        self.first: list[tuple[float, int]] = []  # latency in ms of the first answers, how many
        self.model: list[tuple[float, int]] = []
        self.by_tier: dict[str, int] = {}


async def play(
    agent: SyntheticAgent, channel: grpc.aio.Channel, policy: str, meter: Meter, until_ns: int
) -> float:
    """One agent's stream until the given time; returns how late its ticks were at worst, ms."""
    call = PolicyStub(channel).Decide()  # type: ignore[no-untyped-call]
    hello = pb.Hello(
        version=VERSION,
        agent_id=f"bench-{id(agent):x}",
        policy=policy,
        window_ns=WINDOW_NS,
        deadline_ns=meter.deadline_ns,
    )
    await call.write(pb.AgentMessage(hello=hello))
    welcome = (await call.read()).welcome
    light = welcome.light_tier or policy
    agent.begin()
    await call.write(pb.AgentMessage(state=agent.opening()))
    sent: dict[int, tuple[int, bool]] = {}

    async def read() -> None:
        while (message := await call.read()) != grpc.aio.EOF:
            if message.WhichOneof("message") != "decisions":
                raise click.ClickException(f"the server did not take all: {message}")
            count = agent.apply(message.decisions)
            at, counted = sent[message.decisions.sequence]
            if counted:
                latency = (time.monotonic_ns() - at) / 1e6
                (meter.first if message.decisions.tier == light else meter.model).append((latency, count))
                tier = message.decisions.tier
                meter.by_tier[tier] = meter.by_tier.get(tier, 0) + count

    reader = asyncio.create_task(read())
    tick, behind_ms = 0, 0.0
    while time.monotonic_ns() < until_ns:
        tick += 1
        pause = (agent.start_ns + tick * TICK_NS - time.monotonic_ns()) / 1e9
        if pause > 0:
            await asyncio.sleep(pause)
        elif meter.measuring:
            behind_ms = max(behind_ms, -pause * 1e3)
        state, ended = agent.batch(tick)
        sent[state.sequence] = (time.monotonic_ns(), meter.measuring)
        meter.asked += ended * meter.measuring
        await call.write(pb.AgentMessage(state=state))
    await asyncio.wait({reader}, timeout=0.3)
    if reader.done():
        reader.result()
    reader.cancel()
    call.cancel()
    return behind_ms


async def measure(
    address: str, flows: int, agents: int, acks: int, poor: float, policy: str, deadline_ms: float,
    duration_s: float, server_pid: int | None,
) -> Result:  # fmt: skip
    """Put one load level on the server."""
    meter = Meter(int(deadline_ms * 1e6))
    players = [SyntheticAgent(flows // agents, acks, poor, seed) for seed in range(agents)]
    until_ns = time.monotonic_ns() + int((WARM_UP_S + duration_s) * 1e9)
    # A connection of its own for every agent, as real ones have.
    channels = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in players
    ]
    tasks = [
        asyncio.create_task(play(player, channel, policy, meter, until_ns))
        for player, channel in zip(players, channels, strict=True)
    ]
    await asyncio.sleep(WARM_UP_S)
    meter.measuring = True
    cpu = cpu_seconds(server_pid)
    await asyncio.sleep(duration_s)
    meter.measuring = False
    cpu = cpu_seconds(server_pid) - cpu
    behind = await asyncio.gather(*tasks)
    for channel in channels:
        await channel.close()
    p50, p95, p99, worst = percentiles(meter.first or meter.model)
    model_p50, _, model_p99, _ = percentiles(meter.model)
    answers = meter.first or meter.model
    answered = sum(count for _, count in answers)
    late = sum(count for latency, count in answers if latency > deadline_ms)
    return Result(
        flows // agents * agents, agents, meter.asked, sum(meter.by_tier.values()) / duration_s, meter.by_tier,
        p50, p95, p99, worst, max(meter.asked - answered, 0), late, model_p50, model_p99,
        cpu / duration_s, max(behind),
    )  # fmt: skip


def percentiles(samples: list[tuple[float, int]]) -> tuple[float, float, float, float]:
    """p50, p95, p99 and maximum of weighted samples; NaN without any."""
    if not samples:
        return (float("nan"),) * 4
    values, weights = (np.array(column) for column in zip(*sorted(samples), strict=True))
    cumulative = np.cumsum(weights)
    at = [float(values[np.searchsorted(cumulative, q * cumulative[-1])]) for q in (0.5, 0.95, 0.99)]
    return at[0], at[1], at[2], float(values[-1])


def cpu_seconds(pid: int | None) -> float:
    """CPU time of a process so far; 0 for a server that is not ours."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@click.command(help=__doc__)
@click.option("--flows", default="1000,4000,10000", help="Load levels: flows, all agents together.")
@click.option("--agents", default=8, help="Streams that share the flows.")
@click.option("--acks", default=5, help="ACK records per flow and window.")
@click.option("--poor", default=0.0, help="Share of flows with loss and a standing queue.")
@click.option("--policy", default="gcc", help="What the agents ask for: apc or a tier.")
@click.option("--difficult", default=None, help="Tier for difficult flows under apc, e.g. llm.")
@click.option("--deadline", "deadline_ms", default=100.0, help="Deadline of an answer, ms.")
@click.option("--duration", "duration_s", default=10.0, help="Measured time per level, seconds.")
@click.option("--device", default="auto", help="Where the model runs.")
@click.option("--server", "address", default=None, help="Address of a running server.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results here too.")
def main(
    flows: str, agents: int, acks: int, poor: float, policy: str, difficult: str | None, deadline_ms: float,
    duration_s: float, device: str, address: str | None, json_path: Path | None,
) -> None:  # fmt: skip
    results = []
    with tempfile.TemporaryDirectory() as folder:
        server = None if address else start(Path(folder), policy, difficult, device)
        target = address or f"unix:{folder}/policy.sock"
        try:
            for level in flows.split(","):
                pid = server.pid if server else None
                results.append(
                    asyncio.run(
                        measure(target, int(level), agents, acks, poor, policy, deadline_ms, duration_s, pid)
                    )
                )
        finally:
            if server is not None:
                server.terminate()
                server.wait()
    show(results)
    if json_path:
        json_path.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


def start(folder: Path, policy: str, difficult: str | None, device: str) -> subprocess.Popen[str]:
    """A server of our own on CPU 0; the load generator keeps to the others."""
    tiers = [policy] if policy in ("llm", "gru", "mlp", "transformer") else []
    settings = {
        "listen": f"unix:{folder}/policy.sock",
        "difficult": difficult,
        "tiers": tiers,
        "device": device,
    }
    config = folder / "server.yaml"
    config.write_text(json.dumps(settings | {"log": "warning"}))
    server = subprocess.Popen(
        [sys.executable, "-m", "policy", str(config)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert server.stdout is not None
    if not server.stdout.readline().startswith("ready "):
        raise SystemExit("the server did not start")
    cpus = os.sched_getaffinity(0)
    if len(cpus) > 1:
        for thread in Path(f"/proc/{server.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {min(cpus)})
        os.sched_setaffinity(0, cpus - {min(cpus)})
    return server


def show(results: list[Result]) -> None:
    """Print the results as a table."""
    table = Table(title="Policy server: decisions at 10 per second and flow")
    for heading in (
        "flows", "agents", "decisions/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "late", "unanswered",
        "model p50 / p99 ms", "tiers", "server CPU", "generator behind ms",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for r in results:
        total = max(sum(r.by_tier.values()), 1)
        tiers = " ".join(f"{tier} {count / total:.0%}" for tier, count in sorted(r.by_tier.items()))
        model = "–" if np.isnan(r.model_p50_ms) else f"{r.model_p50_ms:.1f} / {r.model_p99_ms:.1f}"
        table.add_row(
            f"{r.flows:,}", str(r.agents), f"{r.decisions_per_s:,.0f}", f"{r.p50_ms:.2f}", f"{r.p95_ms:.2f}",
            f"{r.p99_ms:.2f}", f"{r.max_ms:.1f}", f"{r.missed}", f"{r.unanswered}", model, tiers,
            f"{r.server_cpu:.0%}", f"{r.generator_behind_ms:.1f}",
        )  # fmt: skip
    Console(width=160 if not sys.stdout.isatty() else None).print(table)


if __name__ == "__main__":
    main()
