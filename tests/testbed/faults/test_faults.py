"""Server, agent and wire fail under a live flow: it goes on, the log says who held it, control
returns by itself.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.fault_rig import FAULTS

pytestmark = [pytest.mark.root, pytest.mark.ebpf]


def test_server_killed_and_restarted(with_fault):
    # The cell leaves a busy machine ten seconds for the second server's start.
    done = with_fault("server-killed", duration_s=14.0)
    done.check_passed_to("local")
    (lost_ns,) = done.outcome.times("server-lost")
    first_ns, again_ns = done.outcome.times("server-connected")
    assert first_ns < done.outcome.fault_ns < lost_ns < again_ns
    assert done.rig.server.poll() == 0  # the second one was drained


def test_server_frozen(with_fault):
    done = with_fault("server-frozen")
    done.check_passed_to("local")
    assert done.outcome.times("server-answers")[-1] > done.outcome.fault_ns + 10**9
    assert len(done.outcome.times("server-connected")) == 1  # the stream outlived the pause
    decisions, fault_ns = done.outcome.decisions, done.outcome.fault_ns
    during = decisions[decisions["applied_ns"].between(fault_ns + 300_000_000, fault_ns + 10**9)]
    assert set(during["tier"]) == {"local"}
    assert during["deadline_missed"].all()


def test_agent_killed_and_restarted(with_fault):
    done = with_fault("agent-killed")
    done.check_passed_to("kernel")
    events = done.outcome.events
    assert events.loc[events["event"] == "takeover", "detail"].tolist() == ["1 flows"]
    assert [len(done.outcome.times(event)) for event in ("open", "adopted", "close")] == [1, 1, 1]
    acks = done.outcome.acks
    assert (acks["delivered_bytes"].diff().dropna() >= 0).all()
    assert not acks["commanded"].all()  # the kernel held it for a while
    assert acks.loc[acks["at_ns"] > done.outcome.times("takeover")[0], "commanded"].any()


def test_ring_overrun(with_fault):
    done = with_fault("ring-overrun")
    done.check_passed_to("kernel")
    events = done.outcome.events
    dropped = events.loc[events["event"] == "overrun", "detail"].str.extract(
        r"(\d+) records", expand=False
    )
    assert dropped.astype(int).sum() > 20
    acks = done.outcome.acks  # cumulative: the gap cost no bytes
    assert (acks["acked_bytes"].diff().dropna() >= 0).all()
    assert acks["acked_bytes"].iloc[-1] > 0.9 * done.outcome.goodput["received_bytes"].max()


def test_wire_between_agent_and_server_cut(with_fault):
    done = with_fault("wire-cut")
    done.check_passed_to("local")
    assert len(done.outcome.times("server-lost")) == 1
    assert len(done.outcome.times("server-connected")) == 2


def test_packets_between_agent_and_server_vanish(with_fault):
    done = with_fault("wire-blackholed", 11.0)
    done.check_passed_to("local")
    # Nobody said that the wire was cut: until the connection is given up, the deadline alone tells.
    decisions, fault_ns = done.outcome.decisions, done.outcome.fault_ns
    during = decisions[
        decisions["applied_ns"].between(fault_ns + 300_000_000, fault_ns + 4 * 10**9)
    ]
    assert set(during["tier"]) == {"local"}
    (lost_ns,) = done.outcome.times("server-lost")
    silent_ns = next(at_ns for at_ns in done.outcome.times("server-silent") if at_ns > fault_ns)
    assert silent_ns < lost_ns
    assert len(done.outcome.times("server-connected")) == 2


def test_garbage_and_oversized_messages_from_another_client(with_fault):
    done = with_fault("garbage", 3.2)
    assert done.rig.abuse == {
        "bytes that are no HTTP/2": "closed",
        "message that is no protobuf": "INVALID_ARGUMENT",
        "no protobuf after Hello": "INVALID_ARGUMENT",
        "oversized message": "RESOURCE_EXHAUSTED",
        "message too large to read": "RESOURCE_EXHAUSTED",
        "no Hello": "INVALID_ARGUMENT",
        "ragged columns": "INVALID_ARGUMENT",
        "unknown flows": {"unknown_flow": 1000},
    }
    rejected = dict(
        re.findall(r'tbtest_rejected_total\{reason="(\w+)"\} ([\d.]+)', done.rig.metrics)
    )
    assert float(rejected["unknown_flow"]) == 1000
    assert float(rejected["protocol_error"]) >= 2
    assert float(rejected["limit"]) == 1  # the one that was read
    # The agent's own stream noticed nothing.
    assert not {"server-lost", "rejected", "malformed"} & set(done.outcome.events["event"])
    assert "gcc" in done.after_fault()
    assert (done.outcome.decisions["tier"] == "gcc").mean() > 0.5


def test_servers_clock_an_hour_ahead(with_fault):
    """The agent owns time: neither the server's intake nor its answers depend on its own clock."""
    seen: list[bool] = []

    def in_another_time(rig):
        own, servers = (
            Path(f"/proc/{pid}/ns/time").readlink() for pid in (os.getpid(), rig.server.pid)
        )
        seen.append(own != servers)

    done = with_fault(
        "server-clock", 2.8, begin=replace(FAULTS["server-clock"].begin, act=in_another_time)
    )
    if seen != [True]:
        pytest.skip("the kernel has no time namespaces (before 6.3 exec does not enter them)")
    assert not {"server-lost", "rejected", "malformed"} & set(done.outcome.events["event"])
    assert "gcc" in done.after_fault()
    gcc = done.outcome.decisions[done.outcome.decisions["tier"] == "gcc"]
    assert len(gcc) > 10
    assert gcc["queue_ns"].between(0, 10**9).all()
    assert (~gcc["deadline_missed"]).any()
