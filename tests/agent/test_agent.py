"""The agent's turn with a fake tier, client and clock: who answers when, and what is logged."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from agent.agent import Agent
from agent.answers import Answers
from agent.config import AgentConfig
from agent.layout import FLOW, OPEN_RECORD, RECORD, Flag, Kind, join
from agent.log import AgentLog

MS = 1_000_000
OPEN_NS = 1000 * MS


class FakeTier:
    name, kernel, cc_name, adopted, wake_fd, poll_ns = "ebpf", "bbr", "tb", False, None, 25 * MS

    def __init__(self):
        self.flows = np.zeros(4, FLOW)
        self.records, self.commands, self.freed, self.lost = [], [], [], 0

    def poll(self, now_ns):
        records, self.records = join(self.records), []
        return records

    def command(self, slots, generations, rates, cwnds):
        self.commands += list(
            zip(slots.tolist(), generations.tolist(), rates.tolist(), cwnds.tolist(), strict=True)
        )

    def free_slot(self, slot):
        self.freed.append(slot)

    def dropped(self):
        return self.lost

    def refused(self):
        return 0

    def close(self):
        pass


class FakeClient:
    def __init__(self):
        self.connected, self.batches, self.answers = True, [], []

    def send(self, batch, now_ns):
        self.batches.append(batch)

    def receive(self):
        answers, self.answers = self.answers, []
        return answers

    def events(self):
        return ()


class Bench:
    """An agent whose flow in slot 0 (generation 1, port 40000) has opened."""

    def __init__(self, folder, client, **config):
        self.now = OPEN_NS
        self.folder = folder
        self.tier, self.client = FakeTier(), client
        self.log = AgentLog(folder, 0)
        self.config = AgentConfig(
            cc_name="tb", log_dir=folder, **{"deadline_ns": 50 * MS, **config}
        )
        self.agent = Agent(self.config, self.tier, client, self.log, lambda: self.now)
        opened = np.zeros(1, OPEN_RECORD)
        opened["kind"], opened["generation"], opened["at_ns"], opened["local_port"] = (
            Kind.OPEN,
            1,
            OPEN_NS,
            40000,
        )
        self.tier.flows["live"][0] = self.tier.flows["generation"][0] = 1
        self.tier.flows["open_ns"][0], self.tier.flows["local_port"][0] = OPEN_NS, 40000
        self.tier.records.append(opened.view(RECORD))
        self.agent.step()

    def ack(self, at_ms, delivered, kind=Kind.ACK, flags=0):
        record = np.zeros(1, RECORD)
        record["kind"], record["generation"], record["at_ns"] = kind, 1, OPEN_NS + at_ms * MS
        record["delivered_bytes"], record["mss_bytes"], record["srtt_us"] = delivered, 1000, 20_000
        record["min_rtt_us"], record["pacing_rate_Bps"], record["rtt_us"] = 20_000, 10**6, 20_000
        closes = Flag.CLOSES_WINDOW if at_ms % 100 < 5 else 0
        record["flags"] = flags | closes
        self.tier.records.append(record)

    def step(self, at_ms):
        self.now = OPEN_NS + int(at_ms * MS)
        return self.agent.step()

    def answer(self, at_ms, window, rate=5e6, generation=1, slot=0, tier="gcc"):
        one = np.ones(1, np.int64)
        self.client.answers.append(
            Answers(
                OPEN_NS + at_ms * MS,
                one * slot,
                one * generation,
                one * window,
                one * rate,
                one * 9.0,
                one,
                one,
                np.array([tier]),
                one.astype(np.uint8),
            )
        )
        self.step(at_ms)

    def tables(self):
        self.agent.finish()
        self.log.close()
        return {
            name: pq.read_table(self.folder / f"{name}.parquet").to_pylist()
            for name in ("decisions", "events")
        }


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, FakeClient())


def test_a_closed_window_is_sent_at_once_and_its_answer_commanded(bench):
    bench.ack(50, 10_000)
    bench.step(51)
    bench.ack(101, 20_000)
    bench.step(101.2)
    sent = bench.client.batches[-1]
    assert sent.windows[["slot", "window", "close_ack_ns"]].tolist() == [(0, 0, OPEN_NS + 101 * MS)]
    bench.answer(103, window=0)
    assert bench.tier.commands == [(0, 1, 5e6, 9.0)]
    (row,) = bench.tables()["decisions"]
    assert (row["flow"], row["window"], row["tier"], row["deadline_missed"]) == (0, 0, "gcc", False)
    assert row["window_end_ns"] == OPEN_NS + 100 * MS
    assert row["close_ack_ns"] == OPEN_NS + 101 * MS
    assert row["received_ns"] == row["applied_ns"] == OPEN_NS + 103 * MS


def test_a_late_server_is_replaced_and_may_come_back(bench):
    bench.ack(101, 20_000)
    bench.step(101)
    assert bench.step(149) <= 1 * MS  # sleeps no longer than to the deadline
    assert not bench.tier.commands
    bench.step(151)
    assert len(bench.tier.commands) == 1
    bench.answer(160, window=0)  # late, but still of the newest window
    assert bench.tier.commands[-1] == (0, 1, 5e6, 9.0)
    tables = bench.tables()
    assert [(row["tier"], row["deadline_missed"]) for row in tables["decisions"]] == [
        ("local", True),
        ("gcc", True),
    ]
    assert tables["decisions"][0]["received_ns"] is None
    events = [
        (row["event"], row["detail"])
        for row in tables["events"]
        if row["event"] in ("tier", "server-silent")
    ]
    assert events == [
        ("server-silent", "the local policy answers"),
        ("tier", "local"),
        ("tier", "gcc"),
    ]
    assert "server-answers" in [row["event"] for row in tables["events"]]


def test_every_window_of_a_silent_server_is_answered_locally_in_time(tmp_path):
    """Also where the deadline is as long as a window: the next one closes at the moment this one is
    due.
    """
    bench = Bench(tmp_path, FakeClient(), deadline_ns=100 * MS)
    for window in range(1, 6):
        bench.ack(100 * window + 1, 20_000 * window)
        bench.step(100 * window + 1)
    decisions = bench.tables()["decisions"]
    assert [(row["window"], row["tier"]) for row in decisions] == [
        (window, "local") for window in range(4)
    ]


def test_without_a_connection_the_local_policy_answers_at_once(bench):
    bench.client.connected = False
    bench.ack(101, 101_000)
    bench.step(101.1)
    ((slot, generation, rate, _),) = bench.tier.commands
    assert (slot, generation) == (0, 1)
    assert rate == pytest.approx(1.25 * 8e6 + 0.4e6)  # 8 Mbit/s came; a packet a round trip


def test_a_window_without_acks_is_closed_by_the_timer(bench):
    bench.ack(50, 10_000)
    bench.step(51)
    bench.step(109)
    assert not any(len(batch.windows) for batch in bench.client.batches)
    bench.step(111)
    assert bench.client.batches[-1].windows["close_ack_ns"].tolist() == [0]
    bench.answer(112, window=0)
    assert bench.tables()["decisions"][0]["close_ack_ns"] is None


def test_a_flow_that_was_quiet_is_answered_by_the_server(bench):
    bench.ack(110, 1000)
    bench.step(110)
    bench.answer(115, 0)
    for at_ms in range(210, 10_100, 100):
        bench.step(at_ms)
        bench.answer(at_ms + 1, at_ms // 100 - 1)
    bench.ack(30_000, 2000)
    bench.step(30_000)
    bench.answer(30_020, 100)
    tables = bench.tables()
    assert {row["tier"] for row in tables["decisions"]} == {"gcc"}
    last = tables["decisions"][-1]
    assert (last["slot"], last["window_end_ns"]) == (0, OPEN_NS + 10_100 * MS)
    assert not last["deadline_missed"]
    assert "server-silent" not in {row["event"] for row in tables["events"]}
    (quiet,) = [row for row in tables["events"] if row["event"] == "quiet"]
    assert quiet["at_ns"] == OPEN_NS + 30_000 * MS
    assert quiet["detail"] == f"slot 0 generation 1 since {OPEN_NS + 10_110 * MS}"


def test_the_second_answer_to_a_window_wins_and_older_ones_do_not(bench):
    for window in (0, 1):
        bench.ack(101 + 100 * window, 20_000 * (window + 1))
        bench.step(102 + 100 * window)
    bench.answer(203, window=1, rate=5e6)
    bench.answer(205, window=1, rate=7e6, tier="llm")
    bench.answer(206, window=0, rate=9e6, tier="llm")
    assert [command[2] for command in bench.tier.commands][-2:] == [5e6, 7e6]
    assert bench.agent.counts["stale_answers"] == 1


@pytest.mark.parametrize(
    ("answer", "counter"),
    [
        ({"generation": 2}, "stale_answers"),
        ({"window": 7}, "stale_answers"),
        ({"slot": 3}, "stale_answers"),
        ({"slot": 99}, "invalid_answers"),
        ({"slot": -1}, "invalid_answers"),
        ({"rate": float("nan")}, "invalid_answers"),
        ({"rate": float("inf")}, "invalid_answers"),
        ({"rate": -5.0}, "invalid_answers"),
    ],
)
def test_answers_that_make_no_sense_are_counted_and_change_nothing(bench, answer, counter):
    bench.ack(101, 20_000)
    bench.step(102)
    bench.answer(103, **{"window": 0, **answer})
    assert not bench.tier.commands
    assert bench.agent.counts[counter] == 1


def test_observing_commands_nothing(tmp_path):
    bench = Bench(tmp_path, None, mode="observe")
    bench.ack(101, 20_000)
    bench.step(102)
    bench.step(400)
    assert not bench.tier.commands
    assert bench.tables()["decisions"] == []


def test_control_that_passes_to_the_kernel_and_back_is_logged_with_its_time(bench):
    bench.ack(10, 1000, kind=Kind.STATE, flags=Flag.COMMANDED)
    bench.ack(20, 1000, kind=Kind.STATE, flags=Flag.COMMANDED)
    bench.ack(30, 1000, kind=Kind.STATE)
    bench.step(31)
    control = [row for row in bench.tables()["events"] if row["event"] == "control"]
    assert [(row["at_ns"] - OPEN_NS, row["detail"]) for row in control] == [
        (10 * MS, "agent"),
        (30 * MS, "kernel bbr"),
    ]


def test_overruns_are_logged(bench):
    bench.tier.lost = 40
    bench.step(2000)
    assert ("overrun", "40 records dropped") in [
        (row["event"], row["detail"]) for row in bench.tables()["events"]
    ]


def test_an_agent_that_takes_over_knows_the_flows_before_their_records(tmp_path):
    tier = FakeTier()
    tier.adopted = True
    tier.flows["live"][2], tier.flows["generation"][2], tier.flows["local_port"][2] = 1, 6, 40005
    log, client = AgentLog(tmp_path, 0), FakeClient()
    config = AgentConfig(cc_name="tb", log_dir=tmp_path)
    agent = Agent(config, tier, client, log, lambda: OPEN_NS)
    agent.step()
    (opened,) = client.batches[0].opens
    assert (opened.slot, opened.generation, opened.flow) == (2, 6, 5)
    agent.finish()
    log.close()
    events = pq.read_table(tmp_path / "events.parquet").to_pylist()
    assert Counter(row["event"] for row in events) == {"takeover": 1, "adopted": 1}
