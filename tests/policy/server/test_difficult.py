"""APC in the server: who goes to the model, what becomes of its answers, and what the scheduler is
told.
"""

from __future__ import annotations

import numpy as np
import pytest

from policy.api import Actions
from policy.protocol import columns as col
from policy.scheduler.adaptive import AdaptiveScheduler
from policy.scheduler.rules import Reason
from tests.policy.server.served import (
    MS,
    FakeModel,
    connect,
    core,
    decided,
    difficult,
    play,
)


def test_difficult_flows_get_the_light_answer_first_and_the_models_after(make_agent) -> None:
    c, _, _, first = difficult(make_agent)
    (columns,) = decided(first)
    assert first[0].decisions.tier == "persistence"
    assert columns["reasons"].tolist() == [int(Reason.QUEUEING_DELAY)] * 2
    job = c.next_job("llm", 10 * MS)
    assert job is not None
    assert c.next_job("llm", 10 * MS) is None  # one batch at a time
    ((_, message),) = c.finish(job, job.lane.tier.decide(job.batch, 0), 30 * MS)
    second = col.unpack(message.decisions, col.DECISIONS)
    assert message.decisions.tier == "llm"
    assert message.decisions.compute_ns == 20 * MS
    assert second["queue_ns"].tolist() == [10 * MS] * 2
    assert second["window"].tolist() == columns["window"].tolist()
    assert second["pacing_rate_bps"].tolist() == [7e6] * 2


def test_easy_flows_do_not_go_to_the_model(agent) -> None:
    c = core(FakeModel())
    session = connect(c, agent, "apc")
    play(c, session, agent.opening(), agent.window())
    assert c.next_job("llm", 0) is None
    assert (c.metrics.difficult, c.metrics.admitted) == (0, 0)


def test_a_late_answer_is_dropped_and_counted(make_agent) -> None:
    c, _, _, _ = difficult(make_agent)
    job = c.next_job("llm", 0)
    assert job is not None
    assert c.finish(job, job.lane.tier.decide(job.batch, 0), 101 * MS) == []
    assert c.metrics.late == {"llm": 2}
    assert c.metrics.dropped["llm", "late"] == 2


def test_an_answer_on_an_older_window_is_dropped(make_agent) -> None:
    c, session, agent, _ = difficult(make_agent)
    job = c.next_job("llm", 0)
    assert job is not None
    play(c, session, agent.window(), now_ns=50 * MS)
    assert c.finish(job, job.lane.tier.decide(job.batch, 0), 60 * MS) == []
    assert c.metrics.dropped["llm", "superseded"] == 2


def test_an_answer_on_ended_or_reused_flows_is_dropped(make_agent) -> None:
    c, session, agent, _ = difficult(make_agent)
    job = c.next_job("llm", 0)
    assert job is not None
    c.disconnect(session)
    session = connect(c, agent, "apc")
    agent.sequence, agent.windows_done = 0, 0
    play(c, session, agent.opening())
    assert c.finish(job, job.lane.tier.decide(job.batch, 0), 10 * MS) == []
    assert c.metrics.dropped["llm", "flow_ended"] == 2


@pytest.mark.parametrize(("rate", "reason"), [(np.nan, "not_a_rate"), (-1.0, "not_a_rate")])
def test_a_model_that_answers_nonsense_is_not_believed(make_agent, rate, reason) -> None:
    c, _, _, _ = difficult(make_agent)
    job = c.next_job("llm", 0)
    assert job is not None
    actions = Actions(np.full(2, rate), np.full(2, 10.0))
    assert c.finish(job, actions, 10 * MS) == []
    assert c.metrics.dropped["llm", reason] == 2


def test_a_model_that_fails_leaves_the_lane_usable(make_agent) -> None:
    c, session, agent, _ = difficult(make_agent)
    job = c.next_job("llm", 0)
    assert job is not None
    assert c.finish(job, None, 10 * MS) == []
    play(c, session, agent.window(), now_ns=100 * MS)
    assert c.next_job("llm", 100 * MS) is not None


def test_when_the_model_is_too_slow_nothing_is_admitted(make_agent) -> None:
    c, _, _, first = difficult(make_agent, admission={"first_guess_ms": 200})
    assert len(decided(first)) == 1
    assert c.next_job("llm", 0) is None
    assert (c.metrics.difficult, c.metrics.admitted) == (2, 0)


def test_a_scheduler_is_told_what_came_of_each_answer(make_agent, monkeypatch) -> None:
    c, session, agent, _ = difficult(make_agent)
    told = []
    monkeypatch.setattr(
        c.scheduler, "feedback", lambda batch, by_model: told.append(by_model.tolist())
    )
    job = c.next_job("llm", 10 * MS)
    assert job is not None
    c.finish(job, job.lane.tier.decide(job.batch, 0), 30 * MS)
    play(c, session, agent.window())
    assert told == [[True, True]]
    play(c, session, agent.window())
    assert told == [[True, True], [False, False]]


def test_an_adaptive_scheduler_is_told_the_load_and_the_outcomes(make_agent) -> None:
    model = FakeModel()
    c = core(model, scheduler="adaptive", adaptive={"explore": 0.0})
    agent = make_agent(flows=2, queue_ms=200.0)
    session = connect(c, agent, "apc")
    play(c, session, agent.opening())
    for window in range(20):
        now_ns = window * 100 * MS
        play(c, session, agent.window(), now_ns=now_ns)
        if job := c.next_job("llm", now_ns):
            c.finish(job, model.decide(job.batch, now_ns), now_ns + 5 * MS)
    assert isinstance(c.scheduler, AdaptiveScheduler)
    # The model has time for far more than these two flows.
    assert c.scheduler.level == c.scheduler.config.lowest
    # The first window of a flow has no outcome yet.
    assert c.scheduler.value.count.sum() == 2 * 19
