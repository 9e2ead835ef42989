"""A server's core in the agent's process: answers as late as they are drawn, one batch of a model
at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.answers import Answers
from agent.batch import WINDOW, Batch, Opened
from agent.config import AgentConfig
from agent.errors import AgentError
from agent.inline import InlineClient, inline
from agent.layout import RECORD, Kind
from policy.api import Actions, FlowBatch
from policy.server.config import build
from policy.server.core import Core
from policy.server.metrics import Metrics

MS = 1_000_000
WINDOW_NS = 100 * MS
OPEN_NS = 1_000 * MS


class Model:
    """Asks for as many Mbit/s as batches were decided."""

    name = "mlp"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        self.batches.append(len(batch))
        rate = np.full(len(batch), len(self.batches) * 1e6)
        return Actions(rate, np.full(len(batch), 10.0))

    def forget(self, flows: Sequence[int]) -> None:
        """Nothing is kept."""


class Rig:
    """A client, its clock, and what an agent would send of flows that progress steadily."""

    def __init__(self, latency_ns: Mapping[str, object], policy: str, flows: int = 1) -> None:
        self.now_ns, self.flows = OPEN_NS, flows
        self.model = Model()
        server = build({"difficult": None, "limits": {"flows": 8, "flows_per_stream": 8}}, "test")
        core = Core(server, {"mlp": self.model}, Metrics(), lambda: self.now_ns)
        settings = {"cc_name": "tbtest", "log_dir": "/nowhere", "inline": "/nowhere", "slots": 8}
        config = AgentConfig.model_validate(
            {**settings, "latency_ns": latency_ns, "policy": policy}
        )
        self.client = InlineClient(config, core, lambda: self.now_ns)

    def close_window(self, window: int, *slots: int, begun_ns: int = 0) -> None:
        """The window of these flows (all) ends and is sent, in a turn that began so long ago."""
        slots = slots or tuple(range(self.flows))
        self.now_ns = OPEN_NS + (window + 1) * WINDOW_NS
        opened = [Opened(slot, 1, OPEN_NS, 40000 + slot) for slot in slots] if window == 0 else []
        records = np.zeros(len(slots), RECORD)
        records["slot"], records["generation"], records["kind"] = slots, 1, Kind.ACK
        records["at_ns"] = self.now_ns - MS
        records["rtt_us"] = records["srtt_us"] = records["min_rtt_us"] = 40_000
        records["mss_bytes"], records["cwnd_packets"] = 1448, 10
        records["sample_delivered_packets"], records["sample_interval_us"] = 10, 10_000
        for name in ("acked_bytes", "delivered_bytes", "sent_bytes"):
            records[name] = 100_000 * (window + 1)
        records["delivered_packets"] = 70 * (window + 1)
        windows = np.array(
            [(slot, 1, window, self.now_ns, 0, self.now_ns) for slot in slots], WINDOW
        )
        self.client.send(Batch(opened, [], records, windows), self.now_ns - begun_ns)

    def receive_at(self, now_ns: int) -> list[Answers]:
        self.now_ns = now_ns
        return list(self.client.receive())


def test_a_rule_answers_when_its_latency_has_passed() -> None:
    rig = Rig({"gcc": [3 * MS]}, "gcc")
    rig.close_window(0)
    sent_ns = rig.now_ns
    assert rig.client.wait_ns() == 3 * MS
    assert rig.receive_at(sent_ns + 3 * MS - 1) == []
    (answers,) = rig.receive_at(sent_ns + 4 * MS)
    assert answers.received_ns == sent_ns + 3 * MS
    assert (answers.slot.tolist(), answers.window.tolist()) == ([0], [0])
    assert answers.tier.tolist() == ["gcc"]
    assert rig.client.wait_ns() is None


def test_records_that_came_since_the_turn_began_count() -> None:
    rig = Rig({}, "gcc")
    rig.close_window(0, begun_ns=2 * MS)
    assert len(rig.receive_at(rig.now_ns)) == 1
    assert rig.client.events() == [(OPEN_NS, "server-connected", "inline, policy gcc")]


def test_without_a_latency_the_answer_is_there_at_once() -> None:
    rig = Rig({}, "gcc")
    rig.close_window(0)
    (answers,) = rig.receive_at(rig.now_ns)
    assert answers.received_ns == rig.now_ns


def test_a_model_takes_one_batch_at_a_time() -> None:
    rig = Rig({"mlp": [30 * MS]}, "mlp", flows=3)
    rig.close_window(0, 0)
    first_ns = rig.now_ns
    rig.now_ns += MS
    rig.close_window(0, 1, 2)  # while the model computes
    assert rig.model.batches == [1]
    (answers,) = rig.receive_at(first_ns + 30 * MS)
    assert answers.slot.tolist() == [0]
    assert answers.compute_ns.tolist() == [30 * MS]
    assert rig.model.batches == [1, 2]
    assert rig.client.wait_ns() == 30 * MS
    (answers,) = rig.receive_at(first_ns + 60 * MS)
    assert answers.slot.tolist() == [1, 2]
    assert answers.received_ns == first_ns + 60 * MS
    assert answers.pacing_rate_bps.tolist() == [2e6, 2e6]


def test_a_larger_batch_may_take_longer() -> None:
    rig = Rig({"mlp": {1: [10 * MS], 2: [70 * MS]}}, "mlp", flows=2)
    rig.close_window(0)
    assert rig.client.wait_ns() == 70 * MS


def test_the_agent_is_told_who_answers() -> None:
    rig = Rig({}, "gcc")
    assert rig.client.events() == [(OPEN_NS, "server-connected", "inline, policy gcc")]
    assert rig.client.events() == []
    assert rig.client.connected
    assert rig.client.served["checkpoints"] == {}


def test_wrong_settings_are_one_line(tmp_path: Path) -> None:
    settings = tmp_path / "server.json"
    settings.write_text('{"tiers": ["mpl"]}')
    config = AgentConfig(cc_name="tbtest", log_dir=tmp_path, inline=settings)
    with pytest.raises(AgentError, match="mpl"), inline(config, settings, lambda: 0):
        pass


def test_latencies_are_for_virtual_time(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--virtual"):
        AgentConfig(cc_name="tbtest", log_dir=tmp_path, latency_ns={"gcc": (1,)})
