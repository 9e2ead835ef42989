"""The load of `bench.server`: agents with synthetic flows, and how long their windows wait for an
answer.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import grpc
import numpy as np
import numpy.typing as npt

from bench.cpu import children, cpu_s
from policy.protocol import VERSION
from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb
from policy.protocol.policy_pb2_grpc import PolicyStub

WINDOW_NS = 100_000_000
TICK_NS = 5_000_000
MSS = 1448
WARM_UP_S = 2.0


class SyntheticAgent:
    """Flows at 5 Mbit/s over 40 ms, their windows spread evenly over time; a share of them with
    loss and a queue.

    poor: that share, or bool[flows], which ones.
    """

    def __init__(
        self, flows: int, acks_per_window: int, poor: float | npt.NDArray[np.bool_], seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        self.flows, self.sequence = flows, 0
        self.every = max(WINDOW_NS // TICK_NS // acks_per_window, 1)  # ticks between ACKs of a flow
        self.phase = rng.permutation(flows)
        self.poor = poor if isinstance(poor, np.ndarray) else rng.random(flows) < poor
        self.delivered = np.zeros(flows, np.int64)
        self.lost = np.zeros(flows, np.int64)
        self.window = np.zeros(flows, np.int64)
        self.pacing_bps = np.full(flows, 5e6)
        self.generation = np.ones(flows, np.int64)
        self.rng = rng
        self.constant = [
            self._constant(np.flatnonzero(self.phase % self.every == k)) for k in range(self.every)
        ]
        self.begin()

    def _constant(self, f: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], dict[str, bytes]]:
        """Flows that have their ACKs in the same ticks, and the columns of these that never
        change.
        """
        values = {
            "flow": f,
            "generation": self.generation[f],
            "min_rtt_us": np.full(len(f), 40_000),
            "mss_bytes": np.full(len(f), MSS),
            "cwnd_packets": np.full(len(f), 30),
            "inflight_packets": np.full(len(f), 20),
            "sample_delivered_packets": np.full(len(f), 17),
            "sample_interval_us": np.where(self.poor[f], 110_000, 41_000),
            "delivered_ce_packets": np.zeros(len(f)),
            "ca_state": np.zeros(len(f)),
            "flags": np.zeros(len(f)),
        }
        return f, {
            name: each.astype(col.ACK_RECORDS[name]).tobytes() for name, each in values.items()
        }

    def begin(self) -> None:
        """Time zero is now."""
        self.start_ns = time.monotonic_ns()
        self.open_ns = self.start_ns - (self.phase % (WINDOW_NS // TICK_NS)) * TICK_NS

    def opening(self) -> pb.StateBatch:
        """The batch that opens all flows."""
        state = pb.StateBatch(sequence=self._next(), sent_ns=time.monotonic_ns())
        flow = np.arange(self.flows)
        col.pack(
            state.opens,
            col.OPENS,
            {"flow": flow, "generation": self.generation, "open_ns": self.open_ns},
        )
        return state

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    def batch(self, tick: int) -> tuple[pb.StateBatch, int]:
        """What happened in one tick: an ACK of every k-th flow, and the windows that end; and how
        many windows.
        """
        now = self.start_ns + tick * TICK_NS
        f, constant = self.constant[-tick % self.every]
        self.delivered[f] += int(5e6 / 8 * TICK_NS * self.every / 1e9)
        hit = f[self.poor[f] & (self.rng.random(len(f)) < 0.2)]
        self.lost[hit] += MSS
        delivered, lost = self.delivered[f], self.lost[f].tobytes()
        rtt_us = np.where(self.poor[f], 110_000, 41_000) + self.rng.integers(0, 2000, len(f))
        rtt, delivered_bytes = rtt_us.astype(np.int32).tobytes(), delivered.tobytes()
        records = pb.AckRecords(
            at_ns=np.full(len(f), now).tobytes(),
            rtt_us=rtt,
            srtt_us=rtt,
            pacing_rate_bps=self.pacing_bps[f].tobytes(),
            acked_bytes=delivered_bytes,
            delivered_bytes=delivered_bytes,
            lost_bytes=lost,
            sent_bytes=(delivered + self.lost[f]).tobytes(),
            retransmitted_bytes=lost,
            delivered_packets=(delivered // MSS).tobytes(),
            **constant,
        )
        state = pb.StateBatch(sequence=self._next(), sent_ns=time.monotonic_ns(), records=records)
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
    workers_cpu: float
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
                raise RuntimeError(f"the server did not take all: {message}")
            count = agent.apply(message.decisions)
            at, counted = sent[message.decisions.sequence]
            if counted:
                latency = (time.monotonic_ns() - at) / 1e6
                (meter.first if message.decisions.tier == light else meter.model).append(
                    (latency, count)
                )
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
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in players
    ]
    tasks = [
        asyncio.create_task(play(player, channel, policy, meter, until_ns))
        for player, channel in zip(players, channels, strict=True)
    ]
    await asyncio.sleep(WARM_UP_S)
    meter.measuring = True
    before = cpu_seconds(server_pid)
    await asyncio.sleep(duration_s)
    meter.measuring = False
    server_cpu, workers_cpu = (
        (after - was) / duration_s
        for after, was in zip(cpu_seconds(server_pid), before, strict=True)
    )
    behind = await asyncio.gather(*tasks)
    for channel in channels:
        await channel.close()
    p50, p95, p99, worst = percentiles(meter.first or meter.model)
    model_p50, _, model_p99, _ = percentiles(meter.model)
    answers = meter.first or meter.model
    answered = sum(count for _, count in answers)
    late = sum(count for latency, count in answers if latency > deadline_ms)
    return Result(
        flows // agents * agents,
        agents,
        meter.asked,
        sum(meter.by_tier.values()) / duration_s,
        meter.by_tier,
        p50,
        p95,
        p99,
        worst,
        max(meter.asked - answered, 0),
        late,
        model_p50,
        model_p99,
        server_cpu,
        workers_cpu,
        max(behind),
    )


def percentiles(samples: list[tuple[float, int]]) -> tuple[float, float, float, float]:
    """p50, p95, p99 and maximum of weighted samples; NaN without any."""
    if not samples:
        return (float("nan"),) * 4
    values, weights = (np.array(column) for column in zip(*sorted(samples), strict=True))
    cumulative = np.cumsum(weights)
    at = [float(values[np.searchsorted(cumulative, q * cumulative[-1])]) for q in (0.5, 0.95, 0.99)]
    return at[0], at[1], at[2], float(values[-1])


def cpu_seconds(pid: int | None) -> tuple[float, float]:
    """CPU time so far of a process and of its children that run; 0 for a server that is not
    ours.
    """
    if pid is None:
        return 0.0, 0.0
    return cpu_s(pid), sum(map(cpu_s, children(pid)))
