"""An agent for tests: flows that behave, and messages that need not. And a small model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb

MS = 1_000_000
WINDOW_NS = 100 * MS


@dataclass
class FakeAgent:
    """n flows with an ACK every 20 ms, delivering 1 Mbit/s over 40 ms; time is its own and starts
    at one second.
    """

    flows: int = 2
    generation: int = 1
    queue_ms: float = 0.0
    lost_per_window: int = 0
    sequence: int = 0
    windows_done: int = 0
    start_ns: int = 1_000_000_000
    delivered: int = 0
    lost: int = 0
    changes: dict[str, object] = field(default_factory=dict)  # columns of records to spoil

    def hello(self, policy: str = "gcc", **changes: object) -> pb.Hello:
        values: dict[str, object] = {
            "version": 1,
            "agent_id": "agent-1",
            "policy": policy,
            "window_ns": WINDOW_NS,
            "deadline_ns": WINDOW_NS,
        }
        return pb.Hello(**(values | changes))  # type: ignore[arg-type]

    @property
    def slots(self) -> np.ndarray:
        return np.arange(self.flows)

    def _state(self, sent_ns: int) -> pb.StateBatch:
        self.sequence += 1
        return pb.StateBatch(sequence=self.sequence, sent_ns=sent_ns)

    def opening(self) -> pb.StateBatch:
        """Opens all flows."""
        state = self._state(self.start_ns + MS)
        columns = {
            "flow": self.slots,
            "generation": np.full(self.flows, self.generation),
            "open_ns": np.full(self.flows, self.start_ns),
        }
        col.pack(state.opens, col.OPENS, columns)
        return state

    def closing(self) -> pb.StateBatch:
        """Closes all flows."""
        state = self._state(self.start_ns + (self.windows_done + 1) * WINDOW_NS)
        columns = {"flow": self.slots, "generation": np.full(self.flows, self.generation)}
        col.pack(state.closes, col.CLOSES, columns)
        return state

    def window(self) -> pb.StateBatch:
        """The records of one window of every flow, and its end."""
        begin = self.start_ns + self.windows_done * WINDOW_NS
        times = begin + np.arange(1, 6) * 20 * MS - MS
        state = self._state(begin + WINDOW_NS + MS)
        self.lost += self.lost_per_window
        delivered = self.delivered + np.arange(1, 6) * 2500
        self.delivered = int(delivered[-1])
        n = len(times) * self.flows
        rtt_us = int(40_000 + self.queue_ms * 1000)
        columns: dict[str, object] = {
            "flow": np.repeat(self.slots, len(times)),
            "generation": np.full(n, self.generation),
            "at_ns": np.tile(times, self.flows),
            "rtt_us": np.full(n, rtt_us),
            "srtt_us": np.full(n, rtt_us),
            "min_rtt_us": np.full(n, 40_000),
            "mss_bytes": np.full(n, 1448),
            "cwnd_packets": np.full(n, 20),
            "inflight_packets": np.full(n, 10),
            "pacing_rate_bps": np.full(n, 1e6),
            "sample_delivered_packets": np.full(n, 3),
            "sample_interval_us": np.full(n, 40_000),
            "acked_bytes": np.tile(delivered, self.flows),
            "delivered_bytes": np.tile(delivered, self.flows),
            "lost_bytes": np.full(n, self.lost),
            "sent_bytes": np.tile(delivered, self.flows),
            "retransmitted_bytes": np.full(n, self.lost),
            "delivered_packets": np.tile(delivered, self.flows) // 1448,
            "delivered_ce_packets": np.zeros(n),
            "ca_state": np.zeros(n),
            "flags": np.zeros(n),
        }
        for name, value in self.changes.items():
            columns[name] = np.full(n, value)
        col.pack(state.records, col.ACK_RECORDS, columns)
        windows = {
            "flow": self.slots,
            "generation": np.full(self.flows, self.generation),
            "window": np.full(self.flows, self.windows_done),
            "end_ns": np.full(self.flows, begin + WINDOW_NS),
        }
        col.pack(state.windows, col.WINDOWS, windows)
        self.windows_done += 1
        return state


@pytest.fixture
def agent() -> FakeAgent:
    """Two flows."""
    return FakeAgent()


@pytest.fixture
def make_agent() -> type[FakeAgent]:
    """The class, for others."""
    return FakeAgent


@pytest.fixture(scope="session")
def gru(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small random GRU that reads eight windows."""
    pytest.importorskip("torch")
    from policy.model import checkpoint
    from policy.model.config import ControlConfig, ModelConfig
    from policy.model.model import PolicyModel
    from policy.tasks.congestion.settings import EncoderConfig

    config = ModelConfig(
        kind="gru",
        history=8,
        control=ControlConfig(hidden=16, layers=1),
        encoder=EncoderConfig(channels=4),
    )
    folder = tmp_path_factory.mktemp("gru") / "checkpoint"
    checkpoint.save(folder, PolicyModel(config), card="", training={})
    return folder
