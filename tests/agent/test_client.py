"""The client against a server in this process: welcome, reconnection, queues that never block."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.batch import WINDOW, Batch, Opened
from agent.client import Outbox, PolicyClient, merge
from agent.config import AgentConfig
from agent.errors import AgentError
from agent.layout import RECORD


def batch(serial=0, opens=(), closes=(), windows=1):
    records = np.zeros(2, RECORD)
    records["slot"], records["generation"], records["at_ns"] = 1, 1, serial
    return Batch(
        list(opens), list(closes), records, np.array([(1, 1, serial, 5, 0, 5)] * windows, WINDOW)
    )


@pytest.fixture
def client(server, tmp_path):
    client = PolicyClient(AgentConfig(cc_name="tbclient", log_dir=tmp_path, server=server.address))
    yield client
    client.close()


def test_a_window_is_answered(client, server, wait_for):
    wait_for(lambda: client.connected, "welcome")
    client.send(batch(), 0)
    (answers,) = wait_for(client.receive, "answer")
    assert (answers.slot.tolist(), answers.window.tolist()) == ([1], [0])
    assert answers.pacing_rate_bps.tolist() == [8e6]
    assert answers.tier.tolist() == ["fake"]
    assert server.hellos[0].agent_id == "tbclient"
    assert [event for _, event, _ in client.events()] == ["server-connected"]
    assert client.receive() == ()


def test_a_restarted_server_is_told_of_the_live_flows(client, server, wait_for):
    wait_for(lambda: client.connected, "welcome")
    client.send(batch(opens=[Opened(1, 1, 50, 40000), Opened(2, 1, 60, 40001)]), 0)
    client.send(batch(closes=[(1, 1)]), 0)
    wait_for(lambda: len(client.receive()) and len(server.states) >= 3, "batches")
    server.stop()
    wait_for(lambda: not client.connected, "loss of the server")
    client.send(batch(opens=[Opened(3, 4, 70, 40002)]), 0)  # nobody hears it
    before = len(server.states)
    server.start()
    wait_for(lambda: client.connected, "reconnection")
    wait_for(lambda: len(server.states) > before, "first batch")
    state = server.states[before]
    assert state.sequence == 1
    assert np.frombuffer(state.opens.flow, "<u4").tolist() == [2, 3]
    assert [event for _, event, _ in client.events()] == [
        "server-connected",
        "server-lost",
        "server-connected",
    ]


def test_large_batches_are_split_as_the_server_asks(client, server, wait_for):
    server.max_records = 1
    server.stop()
    wait_for(lambda: not client.connected, "loss of the server")
    server.start()
    wait_for(lambda: client.connected, "reconnection")
    server.states.clear()
    client.send(batch(), 0)
    wait_for(lambda: len(client.receive()), "answer")
    assert [
        len(state.records.flow) // 4 for state in server.states if state.HasField("records")
    ] == [1, 1]


def test_an_absent_server_is_reported_once(tmp_path, wait_for):
    client = PolicyClient(
        AgentConfig(cc_name="tb", log_dir=tmp_path, server=f"unix:{tmp_path}/none.sock")
    )
    seen = []
    wait_for(lambda: seen.extend(client.events()) or seen, "refusal")
    client.send(batch(), 0)
    assert not client.connected
    client.close()
    assert [event for _, event, _ in [*seen, *client.events()]].count("server-refused") == 1


def test_whatever_an_answer_does_to_the_client_it_connects_again(
    client, server, wait_for, monkeypatch
):
    wait_for(lambda: client.connected, "welcome")

    def too_much(*arguments):
        monkeypatch.undo()
        raise MemoryError("Unable to allocate 149 GiB")

    monkeypatch.setattr("agent.codec.decode", too_much)
    client.send(batch(), 0)
    wait_for(lambda: len(server.hellos) == 2, "another stream")
    wait_for(lambda: client.connected, "welcome")
    client.send(batch(serial=1), 0)
    wait_for(client.receive, "answer")
    events = [(event, detail) for _, event, detail in client.events()]
    assert ("server-lost", "MemoryError: Unable to allocate 149 GiB") in events


@pytest.mark.parametrize("key", ["tls_ca", "token_file"])
def test_unreadable_credentials_name_the_file(tmp_path, key):
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    files = {"tls_ca": ca, "token_file": ca} | {key: tmp_path / "missing"}
    with pytest.raises(AgentError, match=f"{key}: .*missing"):
        PolicyClient(AgentConfig(cc_name="tb", log_dir=tmp_path, server="localhost:1", **files))


@given(st.integers(1, 5), st.integers(0, 20))
def test_a_full_outbox_loses_the_oldest_observations_but_no_flow(limit, count):
    outbox = Outbox(limit)
    for serial in range(count):
        outbox.put(batch(serial, opens=[Opened(serial, 1, 0, 0)], closes=[(serial, 1)]))
    outbox.release()
    sent, batches = [], iter(outbox)
    while len(sent) < min(limit, count):
        sent.append(next(batches))
    outbox.close()
    assert list(batches) == []
    assert [opened.slot for each in sent for opened in each.opens] == list(range(count))
    assert [slot for each in sent for slot, _ in each.closes] == list(range(count))
    kept = [int(each.windows["window"][0]) for each in sent]
    assert kept == list(range(max(0, count - limit), count))


def test_merging_keeps_the_newer_observations():
    merged = merge(batch(1), batch(2))
    assert merged.records["at_ns"].tolist() == [2, 2]
    assert merged.windows["window"].tolist() == [2]
