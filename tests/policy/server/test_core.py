"""The server without sockets: what it decides, what it refuses, and that nothing it is sent breaks
it.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.api import Actions, FlowBatch
from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb
from policy.server.streams import LimitError, ProtocolError
from tests.policy.server.served import (
    MS,
    FakeModel,
    answers,
    connect,
    core,
    decided,
    play,
    rejected,
)


def test_batches_are_no_larger_than_the_model_takes_at_once(make_agent) -> None:
    model = FakeModel()
    model.max_batch = 3  # type: ignore[attr-defined]
    for allowed, sizes in ((256, [3, 2]), (2, [2, 2, 1])):
        c = core(model, admission={"max_batch": allowed})
        agent = make_agent(flows=5)
        session = connect(c, agent, "llm")
        play(c, session, agent.opening(), agent.window())
        taken = []
        while job := c.next_job("llm", 0):
            taken.append(len(job.batch))
            c.finish(job, model.decide(job.batch, 0), 0)
        assert taken == sizes


def test_every_window_is_answered_once_at_once(agent, make_agent) -> None:
    c = core()
    session = connect(c, agent)
    assert play(c, session, agent.opening()) == []
    for window in range(5):
        messages = play(c, session, agent.window())
        (columns,) = decided(messages)
        assert columns["flow"].tolist() == [0, 1]
        assert columns["generation"].tolist() == [1, 1]
        assert columns["window"].tolist() == [window] * 2
        assert (columns["pacing_rate_bps"] > 0).all()
        assert messages[0].decisions.tier == "gcc"
        assert messages[0].decisions.sequence == agent.sequence
    assert c.metrics.decisions == {"gcc": 10}
    assert c.metrics.records == 50


def test_of_several_windows_in_one_tick_the_newest_is_answered(agent) -> None:
    c = core()
    session = connect(c, agent)
    (columns,) = decided(play(c, session, agent.opening(), agent.window(), agent.window()))
    assert columns["window"].tolist() == [1, 1]


def test_two_agents_share_a_tick_and_not_their_flows(make_agent) -> None:
    c = core()
    one, two = make_agent(flows=2), make_agent(flows=3, generation=9)
    sessions = [connect(c, one), connect(c, two, "hold")]
    for session, agent in zip(sessions, (one, two), strict=True):
        c.streams.receive(session, agent.opening(), 0)
        c.streams.receive(session, agent.window(), 0)
    got = {(s.index, m.decisions.tier): len(m.decisions.flow) // 4 for s, m in c.tick(0)}
    assert got == {(0, "gcc"): 2, (1, "hold"): 3}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pacing_rate_bps": np.nan}, "bad_rate"),
        ({"pacing_rate_bps": np.inf}, "bad_rate"),
        ({"pacing_rate_bps": -1.0}, "bad_rate"),
        ({"delivered_bytes": -5}, "negative_counter"),
        ({"retransmitted_bytes": -5}, "negative_counter"),
        ({"at_ns": -1}, "bad_time"),
        ({"at_ns": 2**62}, "bad_time"),
        ({"mss_bytes": 0}, "bad_mss"),
        ({"flow": 7}, "unknown_flow"),
        ({"flow": 2**31}, "unknown_flow"),
        ({"generation": 3}, "stale_generation"),
    ],
)
def test_bad_records_are_counted_and_the_flow_goes_on(agent, changes, reason) -> None:
    c = core()
    session = connect(c, agent)
    play(c, session, agent.opening(), agent.window())
    agent.changes = changes
    messages = play(c, session, agent.window())
    assert rejected(messages) == {reason: 10}
    assert len(decided(messages)) == 1
    agent.changes = {}
    messages = play(c, session, agent.window())
    assert rejected(messages) == {}
    assert np.isfinite(decided(messages)[0]["pacing_rate_bps"]).all()


def test_replays_are_refused(agent) -> None:
    c = core()
    session = connect(c, agent)
    state = agent.opening()
    window = agent.window()
    play(c, session, state, window)
    assert rejected(play(c, session, window)) == {"replayed_batch": 1}
    again = pb.StateBatch()
    again.CopyFrom(window)
    again.sequence = 99
    messages = play(c, session, again)
    assert rejected(messages) == {"stale_window": 2}
    assert decided(messages) == []


def test_a_slot_used_again_is_another_flow(agent) -> None:
    c = core()
    session = connect(c, agent, "hold")
    first = decided(play(c, session, agent.opening(), agent.window()))[0]
    old = agent.window()
    agent.generation, agent.windows_done, agent.start_ns = 2, 0, agent.start_ns + 5 * 100 * MS
    messages = play(c, session, agent.opening(), agent.window())
    columns = decided(messages)[0]
    assert columns["generation"].tolist() == [2, 2]
    old.sequence = 50
    assert rejected(play(c, session, old)) == {"stale_generation": 12}
    assert c.metrics.flows == 2
    assert first["generation"].tolist() == [1, 1]


def test_closed_flows_are_forgotten_and_their_slots_reused(agent) -> None:
    model = FakeModel()
    c = core(model)
    session = connect(c, agent)
    for generation in range(1, 30):  # more flows than slots
        agent.generation = generation
        play(c, session, agent.opening(), agent.window(), agent.closing())
        agent.windows_done, agent.delivered = 0, 0
    assert c.metrics.flows == 0
    assert len(model.forgotten) == 58
    assert rejected(play(c, session, agent.closing())) == {"unknown_flow": 2}


def test_a_stream_that_ends_takes_its_flows_along(agent) -> None:
    c = core()
    session = connect(c, agent)
    play(c, session, agent.opening())
    assert (c.metrics.streams, c.metrics.flows) == (1, 2)
    c.streams.receive(session, agent.window(), 0)
    c.disconnect(session)
    assert answers(c) == []
    assert (c.metrics.streams, c.metrics.flows) == (0, 0)


def test_flows_beyond_the_limit_are_refused_and_the_others_served(make_agent) -> None:
    c = core()
    agent = make_agent(flows=10)
    session = connect(c, agent)
    messages = play(c, session, agent.opening(), agent.window())
    assert rejected(messages) == {"flow_limit": 2, "unknown_flow": 12}
    assert len(decided(messages)[0]["flow"]) == 8


def test_streams_and_records_have_limits(make_agent) -> None:
    c = core()
    agents = [make_agent() for _ in range(3)]
    session = connect(c, agents[0])
    connect(c, agents[1])
    with pytest.raises(LimitError, match="limit of 2 streams"):
        connect(c, agents[2])
    big = make_agent(flows=8)
    big.flows = 40
    with pytest.raises(LimitError, match="200 records in a batch"):
        c.streams.receive(session, big.window(), 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2"),
        ({"agent_id": "a b"}, "agent_id 'a b'"),
        ({"agent_id": ""}, "agent_id"),
        ({"policy": "llm"}, "'llm' is not served here"),
        ({"window_ns": 0}, "window_ns 0"),
        ({"deadline_ns": -1}, "deadline_ns -1"),
    ],
)
def test_hello_is_checked(agent, changes, message) -> None:
    with pytest.raises(ProtocolError, match=message):
        core().streams.connect(agent.hello(**changes))


def test_columns_that_do_not_fit_end_the_stream(agent) -> None:
    c = core()
    session = connect(c, agent)
    state = agent.window()
    state.records.rtt_us = state.records.rtt_us[:-1]
    with pytest.raises(ProtocolError, match=r"AckRecords\.rtt_us"):
        c.streams.receive(session, state, 0)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_garbage_in_well_formed_columns_never_breaks_it(make_agent, data) -> None:
    c = core(FakeModel())
    agent = make_agent()
    session = connect(c, agent, "apc")
    c.streams.receive(session, agent.opening(), 0)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    for _ in range(4):
        state = agent.window()
        for group, layout in ((state.records, col.ACK_RECORDS), (state.windows, col.WINDOWS)):
            for name in data.draw(st.lists(st.sampled_from(sorted(layout)), max_size=4)):
                old = getattr(group, name)
                setattr(group, name, rng.integers(0, 256, len(old), np.uint8).tobytes())
        for columns in decided(play(c, session, state)):
            assert np.isfinite(columns["pacing_rate_bps"]).all()
            assert (columns["cwnd_packets"] > 0).all()


def test_a_model_alone_answers_every_window_even_late(agent) -> None:
    c = core(FakeModel())
    session = connect(c, agent, "llm")
    assert decided(play(c, session, agent.opening(), agent.window())) == []
    job = c.next_job("llm", 0)
    assert job is not None
    ((_, message),) = c.finish(job, job.lane.tier.decide(job.batch, 0), 500 * MS)
    assert len(message.decisions.flow) == 8
    assert c.metrics.late == {"llm": 2}


def test_the_agents_clock_does_not_matter(make_agent) -> None:
    def rates(start_ns: int) -> list[list[float]]:
        c, agent = core(), make_agent(start_ns=start_ns)
        session = connect(c, agent)
        play(c, session, agent.opening())
        return [
            decided(play(c, session, agent.window()))[0]["pacing_rate_bps"].tolist()
            for _ in range(5)
        ]

    assert rates(1_000_000_000) == rates(3_600_000_000_000 + 1_000_000_000)


def test_a_flow_met_in_mid_life_starts_with_the_window_open_now(agent) -> None:
    c = core()
    session = connect(c, agent)
    opening = agent.opening()
    opening.sent_ns = agent.start_ns + 1000 * 100 * MS + 50 * MS
    agent.windows_done = 1000
    messages = play(c, session, opening, agent.window())
    assert len(decided(messages)) == 1
    assert rejected(messages) == {}


class Noting(FakeModel):
    """Keeps the objectives that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: list[float] = []

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        self.wanted += batch.objective.tolist()
        return super().decide(batch, now_ns)


def test_each_flow_has_its_objective(make_agent) -> None:
    model = Noting()
    c = core(model)
    agent = make_agent(flows=3)
    session = connect(c, agent, "llm")
    opening = agent.opening()
    opening.opens.objective = np.array([0.0, 0.25, 1.0], "<f4").tobytes()
    play(c, session, opening, agent.window())
    job = c.next_job("llm", 0)
    assert job is not None
    job.lane.tier.decide(job.batch, 0)
    assert model.wanted == [0.0, 0.25, 1.0]


def test_a_wrong_column_of_objectives_ends_the_stream(make_agent) -> None:
    c = core()
    agent = make_agent()
    session = connect(c, agent)
    opening = agent.opening()
    opening.opens.objective = np.zeros(1, "<f4").tobytes()
    with pytest.raises(ProtocolError, match=r"Opens.objective: 4 bytes, expected 2 elements"):
        c.streams.receive(session, opening, 0)
