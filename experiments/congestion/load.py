"""Load for the APC experiment: agents with a chosen share of difficult flows, and when each window
was answered.

Each generator process plays several agents of `bench.server`, each agent on a connection of its
own. What is kept is when every single window was asked and answered by each tier, so that windows
never answered count too.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import grpc
import numpy as np
from numpy.typing import NDArray

from bench.server_load import TICK_NS, WINDOW_NS, SyntheticAgent
from policy.protocol import VERSION
from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb
from policy.protocol.policy_pb2_grpc import PolicyStub
from policy.registry import DEFAULT_LIGHT, MODELS

Floats = NDArray[np.float64]
WARM_UP_S = 1.5
GRACE_S = 0.5
"""How long after the last window answers are still waited for."""


@dataclass(frozen=True)
class Level:
    """One level of load. difficult: share of the flows with loss and a queue; admission: all flows
    ask for `apc`, else difficult ones ask for the model alone and easy ones for the light tier
    alone."""

    flows: int
    difficult: float
    admission: bool
    light: str = DEFAULT_LIGHT
    model: str = "llm"
    agents: int = 8
    acks_per_window: int = 5
    duration_s: float = 5.0
    deadline_ms: float = 100.0


@dataclass(frozen=True)
class Answers:
    """Of every window asked: ms until the light tier and the model answered, inf: never; how much
    of it was spent in the server (arrival to answer, NaN: no answer); and whether the flow is a
    difficult one. late_ms: how late the generator's ticks were at worst."""

    light_ms: Floats
    model_ms: Floats
    light_server_ms: Floats
    model_server_ms: Floats
    difficult: NDArray[np.bool_]
    late_ms: float

    @classmethod
    def join(cls, parts: list[Answers]) -> Answers:
        """All windows of several generators."""
        columns = zip(
            *(
                (p.light_ms, p.model_ms, p.light_server_ms, p.model_server_ms, p.difficult)
                for p in parts
            ),
            strict=True,
        )
        light, model, light_server, model_server, difficult = map(np.concatenate, columns)
        late_ms = max(part.late_ms for part in parts)
        return cls(light, model, light_server, model_server, difficult, late_ms)


class Generators:
    """Processes that make load, kept for many levels. A context."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))

    def __enter__(self) -> Generators:
        list(self._pool.map(time.sleep, [0.1] * self._processes))  # all start now
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def put(self, address: str, level: Level) -> Answers:
        """Put one level of load on the server at `address`."""
        shares = _agents(level)
        parts = [shares[i :: self._processes] for i in range(self._processes)]
        begin_ns = time.monotonic_ns() + 200_000_000
        jobs = [
            self._pool.submit(_generate, address, level, part, begin_ns) for part in parts if part
        ]
        return Answers.join([job.result() for job in jobs])


@dataclass(frozen=True)
class _Share:
    """One agent's part of the load."""

    seed: int
    flows: int
    difficult: int
    policy: str


def _agents(level: Level) -> list[_Share]:
    """The agents and what each asks for. Without admission, difficult and easy flows have agents of
    their own.
    """
    hard = round(level.flows * level.difficult)
    if level.admission:
        ends = [level.flows * k // level.agents for k in range(level.agents + 1)]
        hard_ends = [
            hard * end // max(level.flows, 1) for end in ends
        ]  # in proportion: never more than flows
        return [
            _Share(k, ends[k + 1] - ends[k], hard_ends[k + 1] - hard_ends[k], "apc")
            for k in range(level.agents)
            if ends[k + 1] > ends[k]
        ]
    easy = level.flows - hard
    for_hard = (
        min(max(round(level.agents * level.difficult), 1), level.agents - (easy > 0)) if hard else 0
    )
    for_easy = level.agents - for_hard if easy else 0
    shares = [(_part(hard, for_hard, k), level.model) for k in range(for_hard)]
    shares += [(_part(easy, for_easy, k), level.light) for k in range(for_easy)]
    return [
        _Share(seed, flows, flows if policy == level.model else 0, policy)
        for seed, (flows, policy) in enumerate(shares)
        if flows
    ]


def _part(total: int, parts: int, k: int) -> int:
    """The k-th of `parts` nearly equal parts."""
    return total * (k + 1) // parts - total * k // parts


def _generate(address: str, level: Level, shares: list[_Share], begin_ns: int) -> Answers:
    return Answers.join(asyncio.run(_play_all(address, level, shares, begin_ns)))


async def _play_all(
    address: str, level: Level, shares: list[_Share], begin_ns: int
) -> list[Answers]:
    await asyncio.sleep(max(begin_ns - time.monotonic_ns(), 0) / 1e9)
    return await asyncio.gather(*(_play(address, level, share) for share in shares))


class _Book:
    """When each window of an agent was asked and answered; ns, 0: not (yet)."""

    def __init__(self, flows: int, windows: int) -> None:
        self.asked_ns, self.light_ns, self.model_ns = (
            np.zeros((flows, windows), np.int64) for _ in range(3)
        )
        self.light_server_ns, self.model_server_ns = (
            np.full((flows, windows), np.nan) for _ in range(2)
        )

    def ask(self, before: NDArray[np.int64], after: NDArray[np.int64], at_ns: int) -> None:
        """Each flow's window `before` is being asked, where `after` is the next."""
        flow = np.flatnonzero(after > before)
        self.asked_ns[flow, before[flow]] = at_ns

    def take(self, decisions: pb.DecisionBatch, at_ns: int) -> None:
        """An answer came."""
        columns = col.unpack(decisions, col.DECISIONS)
        place = columns["flow"], columns["window"]
        by_model = decisions.tier in MODELS
        (self.model_ns if by_model else self.light_ns)[place] = at_ns
        server_ns = columns["queue_ns"] + decisions.compute_ns
        (self.model_server_ns if by_model else self.light_server_ns)[place] = server_ns

    def answers(
        self, from_ns: int, to_ns: int, difficult: NDArray[np.bool_], late_ms: float
    ) -> Answers:
        """Of the windows asked in that time."""
        chosen = (self.asked_ns >= from_ns) & (self.asked_ns < to_ns)
        asked = self.asked_ns[chosen]
        light, model = (
            np.where(table[chosen] > 0, (table[chosen] - asked) / 1e6, np.inf)
            for table in (self.light_ns, self.model_ns)
        )
        light_server, model_server = (
            self.light_server_ns[chosen] / 1e6,
            self.model_server_ns[chosen] / 1e6,
        )
        hard = np.broadcast_to(difficult[:, None], chosen.shape)[chosen]
        return Answers(light, model, light_server, model_server, hard, late_ms)


async def _play(address: str, level: Level, share: _Share) -> Answers:
    """One agent's stream."""
    poor = np.random.default_rng(share.seed).permutation(share.flows) < share.difficult
    agent = SyntheticAgent(share.flows, level.acks_per_window, poor, share.seed)
    # A connection of its own for every agent, as real ones have.
    async with grpc.aio.insecure_channel(
        address, options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        call = PolicyStub(channel).Decide()  # type: ignore[no-untyped-call]
        hello = pb.Hello(
            version=VERSION,
            agent_id=f"load-{share.seed}-{share.policy}",
            policy=share.policy,
            window_ns=WINDOW_NS,
            deadline_ns=int(level.deadline_ms * 1e6),
        )
        await call.write(pb.AgentMessage(hello=hello))
        await call.read()  # Welcome
        agent.begin()
        from_ns = agent.start_ns + int(WARM_UP_S * 1e9)
        to_ns = from_ns + int(level.duration_s * 1e9)
        book = _Book(
            share.flows, int((WARM_UP_S + level.duration_s + GRACE_S) * 1e9) // WINDOW_NS + 3
        )
        await call.write(pb.AgentMessage(state=agent.opening()))

        async def read() -> None:
            while (message := await call.read()) != grpc.aio.EOF:
                if message.WhichOneof("message") != "decisions":
                    raise RuntimeError(f"the server did not take all: {message}")
                book.take(message.decisions, time.monotonic_ns())
                agent.apply(message.decisions)
            raise RuntimeError("the server ended the stream")

        reader = asyncio.create_task(read())
        tick, late_ms = 0, 0.0
        while (now_ns := time.monotonic_ns()) < to_ns and not reader.done():
            tick += 1
            pause_s = (agent.start_ns + tick * TICK_NS - now_ns) / 1e9
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            elif now_ns > from_ns:
                late_ms = max(late_ms, -pause_s * 1e3)
            before = agent.window.copy()
            state, ended = agent.batch(tick)
            if ended:
                book.ask(before, agent.window, time.monotonic_ns())
            await call.write(pb.AgentMessage(state=state))
        await asyncio.wait({reader}, timeout=GRACE_S)
        if reader.done():
            reader.result()
        reader.cancel()
        call.cancel()
        return book.answers(from_ns, to_ns, agent.poor, late_ms)
