"""Messages carry the agent's arrays, and bad answers are told from good ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import codec
from agent.batch import WINDOW, Batch, Opened
from agent.config import AgentConfig
from agent.layout import RECORD, Flag
from policy.protocol.policy_pb2 import AckRecords, AgentMessage, DecisionBatch, Welcome


def batch(count=3):
    records = np.zeros(count, RECORD)
    records["slot"], records["generation"], records["at_ns"] = 4, 9, np.arange(count) + 100
    records["rtt_us"], records["pacing_rate_Bps"], records["lost_bytes"] = -1, 1000, 2**40
    records["flags"] = Flag.APP_LIMITED | Flag.COMMANDED | Flag.CLOSES_WINDOW
    records["ca_state"] = 3
    windows = np.array([(4, 9, 17, 200, 150, 200)], WINDOW)
    return Batch([Opened(4, 9, 50, 40001)], [(2, 7)], records, windows)


def test_a_batch_as_columns():
    message = AgentMessage.FromString(codec.encode(batch(), 5, 77).SerializeToString())
    state = message.state
    assert (state.sequence, state.sent_ns) == (5, 77)
    assert np.frombuffer(state.opens.flow, "<u4").tolist() == [4]
    assert np.frombuffer(state.opens.open_ns, "<i8").tolist() == [50]
    assert np.frombuffer(state.closes.generation, "<u4").tolist() == [7]
    assert np.frombuffer(state.windows.window, "<i8").tolist() == [17]
    assert np.frombuffer(state.windows.end_ns, "<i8").tolist() == [200]
    assert np.frombuffer(state.records.at_ns, "<i8").tolist() == [100, 101, 102]
    assert np.frombuffer(state.records.rtt_us, "<i4").tolist() == [-1] * 3
    assert np.frombuffer(state.records.pacing_rate_bps, "<f8").tolist() == [8000.0] * 3
    assert np.frombuffer(state.records.lost_bytes, "<i8").tolist() == [2**40] * 3
    assert np.frombuffer(state.records.flags, "u1").tolist() == [1] * 3
    assert np.frombuffer(state.records.ca_state, "u1").tolist() == [3] * 3


def test_every_column_of_the_protocol_is_filled():
    records = codec.encode(batch(), 1, 1).state.records
    assert {field.name for field in AckRecords.DESCRIPTOR.fields} == {
        field.name for field, _ in records.ListFields()
    }


def test_parts_are_left_out_when_there_is_nothing():
    state = codec.encode(codec.opening_batch([]), 1, 1).state
    assert not state.HasField("opens")
    assert not state.HasField("records")
    assert not state.HasField("windows")
    assert not state.HasField("closes")


@given(st.integers(0, 20), st.integers(1, 7))
def test_splitting_keeps_everything_once(count, limit):
    whole = batch(count)
    parts = list(codec.split(whole, limit))
    assert all(len(part.records) <= limit for part in parts)
    assert [at_ns for part in parts for at_ns in part.records["at_ns"].tolist()] == whole.records[
        "at_ns"
    ].tolist()
    assert [len(part.opens) for part in parts] == [1] + [0] * (len(parts) - 1)
    assert [len(part.windows) for part in parts] == [0] * (len(parts) - 1) + [1]
    assert [len(part.closes) for part in parts] == [0] * (len(parts) - 1) + [1]


def decisions(**columns):
    defaults = {
        "flow": np.array([1, 2], "<u4"),
        "generation": np.array([1, 1], "<u4"),
        "window": np.array([0, 3], "<i8"),
        "pacing_rate_bps": np.array([1e6, 2e6]),
        "cwnd_packets": np.array([10.0, 20.0]),
        "queue_ns": np.array([5, 6], "<i8"),
        "reasons": np.array([0, 3], "u1"),
    }
    packed = {name: column.tobytes() for name, column in (defaults | columns).items()}
    return DecisionBatch(sequence=1, tier="gcc", compute_ns=42, **packed)


def test_answers_as_columns():
    answers = codec.decode(decisions(), 99, 8)
    assert len(answers) == 2
    assert answers.received_ns == 99
    assert answers.tier.tolist() == ["gcc", "gcc"]
    assert answers.compute_ns.tolist() == [42, 42]
    assert answers.reasons.tolist() == [0, 3]
    assert answers.valid(slots=8).all()
    assert answers.only(np.array([False, True])).slot.tolist() == [2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0])
@pytest.mark.parametrize("column", ["pacing_rate_bps", "cwnd_packets"])
def test_unusable_numbers_are_told(column, bad):
    answers = codec.decode(decisions(**{column: np.array([bad, 5.0])}), 0, 8)
    assert answers.valid(slots=8).tolist() == [False, True]


def test_slots_out_of_range_are_told():
    assert codec.decode(decisions(), 0, 8).valid(slots=2).tolist() == [True, False]


@pytest.mark.parametrize("column", [np.array([1.0]), np.array([1, 2, 3], "u1")])
def test_ragged_columns_are_refused(column):
    with pytest.raises(ValueError, match=r"columns|buffer size"):
        codec.decode(decisions(pacing_rate_bps=column), 0, 8)


def test_more_answers_than_flows_are_refused():
    with pytest.raises(ValueError, match="2 answers for 1 flows"):
        codec.decode(decisions(), 0, 1)


def test_a_long_name_of_a_tier_is_refused():
    batch = decisions()
    batch.tier = "x" * 1_000_000
    with pytest.raises(ValueError, match="1000000 characters"):
        codec.decode(batch, 0, 8)


def test_hello_says_what_the_config_says(tmp_path):
    config = AgentConfig(
        cc_name="tb1", log_dir=tmp_path, policy="gcc", window_ns=50_000_000, deadline_ns=2_000_000
    )
    hello = codec.hello(config).hello
    assert (hello.version, hello.agent_id, hello.policy) == (1, "tb1", "gcc")
    assert (hello.window_ns, hello.deadline_ns) == (50_000_000, 2_000_000)


def test_who_answers_is_kept_and_a_changed_checkpoint_is_added() -> None:
    first = Welcome(light_tier="gcc", difficult_tier="llm", checkpoints={"llm": "a" * 64})
    served = codec.served(first, {})
    assert served == {
        "light_tier": "gcc",
        "difficult_tier": "llm",
        "checkpoints": {"llm": "a" * 64},
    }
    assert codec.served(first, served["checkpoints"]) == served
    second = Welcome(checkpoints={"llm": "b" * 64, "gru": "c" * 64})
    assert codec.served(second, served["checkpoints"])["checkpoints"] == {
        "llm": f"{'a' * 64} {'b' * 64}",
        "gru": "c" * 64,
    }


def test_a_server_cannot_make_the_agent_keep_much() -> None:
    names = {f"{number}-{'x' * 5000}": "y" * 5000 for number in range(500)}
    served = codec.served(Welcome(light_tier="z" * 5000, checkpoints=names), {})
    assert len(served["light_tier"]) <= 1000
    assert len(served["checkpoints"]) <= 64
    assert max(map(len, (*served["checkpoints"], *served["checkpoints"].values()))) <= 1000


def test_flows_open_with_their_objective():
    opens = codec.encode(batch(), 1, 1, 0.25).state.opens
    assert np.frombuffer(opens.objective, "<f4").tolist() == [0.25]
