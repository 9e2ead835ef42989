"""A server's core to speak to without sockets, for tests: connect, play messages, read answers."""

from __future__ import annotations

from collections import Counter

import numpy as np

from policy.api import Actions, FlowBatch, Policy
from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb
from policy.server.config import ServerConfig, build
from policy.server.core import Core
from policy.server.metrics import Metrics
from policy.server.streams import Session

MS = 1_000_000


class FakeModel:
    """A model tier that asks for 7 Mbit/s."""

    def __init__(self, name: str = "llm", rate: float = 7e6) -> None:
        self.name, self.rate = name, rate
        self.forgotten: list[int] = []

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        return Actions(np.full(len(batch), self.rate), np.full(len(batch), 10.0))

    def forget(self, flows: list[int]) -> None:
        self.forgotten += flows


def core(model: Policy | None = None, **settings_: object) -> Core:
    small = {"flows": 16, "flows_per_stream": 8, "streams": 2, "records_per_batch": 100}
    config: ServerConfig = build({"difficult": None, "limits": small} | settings_, "test")
    models = {model.name: model} if model else {}
    return Core(
        config.model_copy(update={"difficult": model.name if model else None}), models, Metrics()
    )


def connect(c: Core, agent: object, policy: str = "gcc") -> Session:
    return c.streams.connect(agent.hello(policy))[0]  # type: ignore[attr-defined]


def answers(c: Core, now_ns: int = 0) -> list[pb.ServerMessage]:
    return [message for _, message in c.tick(now_ns)]


def decided(messages: list[pb.ServerMessage]) -> list[col.Columns]:
    return [
        col.unpack(m.decisions, col.DECISIONS)
        for m in messages
        if m.WhichOneof("message") == "decisions"
    ]


def rejected(messages: list[pb.ServerMessage]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for message in messages:
        counts.update(message.rejected.count)
    return counts


def play(
    c: Core, session: Session, *states: pb.StateBatch, now_ns: int = 0
) -> list[pb.ServerMessage]:
    for state in states:
        c.streams.receive(session, state, now_ns)
    return answers(c, now_ns)


def difficult(make_agent, **settings_: object):
    """A core whose flows are difficult and have just had a window; its session and first
    answers.
    """
    c = core(FakeModel(), **settings_)
    agent = make_agent(queue_ms=100.0)
    session = connect(c, agent, "apc")
    return c, session, agent, play(c, session, agent.opening(), agent.window())
