"""How load is shared among agents, and how answers are booked and summed up."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.congestion.apc import summary, tables
from experiments.congestion.load import Answers, Level, _agents, _Book
from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb


@given(
    st.integers(1, 500), st.integers(0, 100), st.booleans(), st.integers(2, 9)
)  # fmt: skip
def test_agents_share_all_flows(flows: int, percent: int, admission: bool, agents: int) -> None:
    level = Level(flows, percent / 100, admission, agents=agents)
    shares = _agents(level)
    assert sum(share.flows for share in shares) == flows
    assert sum(share.difficult for share in shares) == round(flows * percent / 100)
    assert len(shares) <= agents
    assert all(share.difficult <= share.flows for share in shares)


def test_without_admission_difficult_flows_ask_the_model_alone() -> None:
    shares = _agents(Level(100, 0.25, admission=False, agents=8))
    assert {share.policy: share.difficult == share.flows for share in shares} == {
        "llm": True,
        "persistence": False,
    }
    assert sum(share.policy == "llm" for share in shares) == 2


def decisions(tier: str, flows: list[int], windows: list[int]) -> pb.DecisionBatch:
    message = pb.DecisionBatch(sequence=1, tier=tier, compute_ns=1_000_000)
    count = len(flows)
    values = {
        "flow": np.array(flows),
        "generation": np.ones(count, int),
        "window": np.array(windows),
        "pacing_rate_bps": np.ones(count),
        "cwnd_packets": np.ones(count),
        "queue_ns": np.full(count, 500_000),
        "reasons": np.zeros(count, int),
    }
    col.pack(message, col.DECISIONS, values)
    return message


def test_answers_are_booked_by_flow_and_window() -> None:
    book = _Book(2, 3)
    book.ask(np.array([0, 0]), np.array([1, 1]), 1_000_000)
    book.take(decisions("persistence", [0, 1], [0, 0]), 3_000_000)
    book.take(decisions("llm", [1], [0]), 11_000_000)
    book.ask(
        np.array([1, 1]), np.array([2, 1]), 20_000_000
    )  # a window of flow 0 that nobody answers
    book.ask(np.array([2, 1]), np.array([3, 1]), 90_000_000)  # after the time that counts
    answers = book.answers(1, 50_000_000, np.array([False, True]), 0.5)
    assert answers.light_ms.tolist() == [2.0, math.inf, 2.0]
    assert answers.model_ms.tolist() == [math.inf, math.inf, 10.0]
    assert answers.model_server_ms[2] == 1.5
    assert answers.difficult.tolist() == [False, False, True]


def test_summary() -> None:
    answers = Answers(
        light_ms=np.array([2.0, 4.0, np.inf, 6.0]),
        model_ms=np.array([np.inf, 20.0, np.inf, 150.0]),
        light_server_ms=np.array([1.0, 1.0, np.nan, 1.0]),
        model_server_ms=np.array([np.nan, 9.0, np.nan, 99.0]),
        difficult=np.array([False, True, True, True]),
        late_ms=0.1,
    )
    row = summary(Level(2, 0.75, True), answers, 0.5)
    assert row["missed"] == row["unanswered"] == 0.25
    assert row["llm_share"] == 0.25
    assert row["llm_share_of_difficult"] == pytest.approx(1 / 3)
    assert row["llm_late"] == 0.5
    assert (row["light_p50_ms"], row["light_p99_ms"], row["llm_p50_ms"]) == (4.0, 6.0, 150.0)
    assert (row["first_p50_ms"], row["first_p99_ms"]) == (6.0, None)  # of 2, 4, 6 and never
    table = tables({"about": {"device": "cpu", "cpus": 2}, "load": [row]})
    assert (
        "| 2 | 75% | APC | 6.0 | never | 6.0 | 150.0 | 150.0 | 1.0 | 99.0 | 25.00 | 25.0 | 33.3 |"
        in table
    )


def test_generators_are_joined() -> None:
    one = Answers(*(np.array([value]) for value in (1.0, 2.0, 0.5, 1.5, True)), 3.0)
    joined = Answers.join([one, replace(one, late_ms=5.0)])
    assert joined.light_ms.tolist() == [1.0, 1.0]
    assert joined.late_ms == 5.0
