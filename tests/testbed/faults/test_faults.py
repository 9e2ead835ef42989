"""Server, agent and wire fail under a live flow: it goes on, the log says who held it, control returns by itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.fault_rig import FAULT_S, FAULTS, Step
from testbed.system.leftovers import clean
from testbed.system.state import STATE_DIR, read_states

pytestmark = [pytest.mark.root, pytest.mark.ebpf]


def test_server_killed_and_restarted(with_fault):
    done = with_fault("server-killed")
    assert "local" in done.after_fault()
    assert done.after_fault()[-1] == "gcc"
    (lost_ns,) = done.outcome.times("server-lost")
    first_ns, again_ns = done.outcome.times("server-connected")
    assert first_ns < done.outcome.fault_ns < lost_ns < again_ns
    assert done.rig.server.poll() == 0  # the second one was drained


def test_server_frozen(with_fault):
    done = with_fault("server-frozen")
    assert "local" in done.after_fault()
    assert done.after_fault()[-1] == "gcc"
    (repaired_ns,) = done.outcome.times("repaired")
    silent = [at_ns for at_ns in done.outcome.times("server-silent") if at_ns > done.outcome.fault_ns]
    answers = [at_ns for at_ns in done.outcome.times("server-answers") if at_ns > silent[0]]
    assert silent[0] < repaired_ns
    assert answers
    assert len(done.outcome.times("server-connected")) == 1  # the stream outlived the pause
    decisions = done.outcome.decisions
    during = decisions[decisions["applied_ns"].between(silent[0], repaired_ns)]
    assert set(during["tier"]) == {"local"}
    assert during["deadline_missed"].all()


def test_agent_killed_and_restarted(with_fault):
    done = with_fault("agent-killed")
    assert "kernel bbr" in done.after_fault() or "kernel aimd" in done.after_fault()
    assert done.after_fault()[-1] == "gcc"
    events = done.outcome.events
    assert events.loc[events["event"] == "takeover", "detail"].tolist() == ["1 flows"]
    acks = done.outcome.acks
    assert (acks["delivered_bytes"].diff().dropna() >= 0).all()
    assert not acks["commanded"].all()  # the kernel held it for a while
    assert acks["commanded"].iloc[-1]


def test_ring_overrun(with_fault):
    done = with_fault("ring-overrun")
    assert any(tier.startswith("kernel") for tier in done.after_fault())
    assert done.after_fault()[-1] == "gcc"
    events = done.outcome.events
    dropped = events.loc[events["event"] == "overrun", "detail"].str.extract(r"(\d+) records", expand=False)
    assert dropped.astype(int).sum() > 20
    acks = done.outcome.acks  # cumulative: the gap cost no bytes
    assert (acks["acked_bytes"].diff().dropna() >= 0).all()
    assert acks["acked_bytes"].iloc[-1] > 0.9 * done.outcome.goodput["received_bytes"].max()


def test_wire_between_agent_and_server_cut(with_fault):
    done = with_fault("wire-cut")
    assert "local" in done.after_fault()
    assert done.after_fault()[-1] == "gcc"
    assert len(done.outcome.times("server-lost")) == 1
    assert len(done.outcome.times("server-connected")) == 2


def test_garbage_and_oversized_messages_from_another_client(with_fault):
    done = with_fault("garbage")
    assert done.rig.abuse == {
        "bytes that are no HTTP/2": "closed",
        "message that is no protobuf": "INVALID_ARGUMENT",
        "no protobuf after Hello": "INVALID_ARGUMENT",
        "oversized message": "RESOURCE_EXHAUSTED",
        "no Hello": "INVALID_ARGUMENT",
        "ragged columns": "INVALID_ARGUMENT",
        "unknown flows": {"unknown_flow": 1000},
    }
    rejected = dict(re.findall(r'tbtest_rejected_total\{reason="(\w+)"\} ([\d.]+)', done.rig.metrics))
    assert float(rejected["unknown_flow"]) == 1000
    assert float(rejected["protocol_error"]) >= 2
    # The agent's own stream noticed nothing.
    assert not {"server-lost", "rejected", "malformed"} & set(done.outcome.events["event"])
    assert done.after_fault()[-1] == "gcc"
    assert (done.outcome.decisions["tier"] == "gcc").mean() > 0.5


def test_servers_clock_an_hour_ahead(with_fault):
    """The agent owns time: neither the server's intake nor its answers depend on its own clock."""
    seen: list[bool] = []

    def in_another_time(rig):
        own, servers = (Path(f"/proc/{pid}/ns/time").readlink() for pid in (os.getpid(), rig.server.pid))
        seen.append(own != servers)

    done = with_fault("server-clock", begin=replace(FAULTS["server-clock"].begin, act=in_another_time))
    if seen != [True]:
        pytest.skip("the kernel has no time namespaces (before 6.3 exec does not enter them)")
    assert not {"server-lost", "rejected", "malformed"} & set(done.outcome.events["event"])
    assert done.after_fault()[-1] == "gcc"
    gcc = done.outcome.decisions[done.outcome.decisions["tier"] == "gcc"]
    assert len(gcc) > 10
    assert gcc["queue_ns"].between(0, 10**9).all()
    assert (~gcc["deadline_missed"]).any()
