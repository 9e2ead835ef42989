"""The eBPF tier on the running kernel: real namespaces, real TCP flows, an agent as a process."""

import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

CA_LOSS = 4  # TCP_CA_Loss, linux/tcp.h

pytestmark = [pytest.mark.root, pytest.mark.ebpf]


def events(agent, name):
    table = agent.table("events")
    return table[table["event"] == name]


def registered():
    return Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


@pytest.mark.parametrize("kernel", ["bbr", "aimd", "cubic"])
def test_observed_kernel_algorithms_keep_control_and_every_ack_is_seen(
    network, start_agent, kernel, wait_for
):
    agent = start_agent(mode="observe", kernel=kernel)
    flow = network.flow(agent.cc)
    wait_for(lambda: flow.rate_bps(1.0) > 12e6, "flow under the kernel's algorithm", 30.0)
    network.flows.remove(flow)
    flow.stop()
    agent.stop()
    acks = agent.table("acks")
    assert set(acks["flow"]) == {0}
    assert not acks["commanded"].any()
    assert acks["at_ns"].is_monotonic_increasing
    for counter in ("acked_bytes", "delivered_bytes", "lost_bytes", "sent_bytes"):
        assert (acks[counter].diff().dropna() >= 0).all()
    # TCP acknowledged what the receiver got, and the ring lost nothing.
    assert abs(acks["acked_bytes"].iloc[-1] - flow.received) < 200_000
    assert agent.summary()["dropped_records"] == 0
    assert len(agent.table("decisions")) == 0


def test_rate_and_cwnd_are_followed_and_clamped(network, start_agent, server, wait_for):
    agent = start_agent(server=server.address, max_cwnd_packets=50, max_rate_bps=12e6)
    flow = network.flow(agent.cc)
    flow.settles(8e6)
    assert flow.cwnd == 50  # asked: 1000
    server.rate_bps = 4e6
    flow.settles(4e6)
    server.rate_bps, server.cwnd_packets = 1e9, 7
    wait_for(lambda: flow.cwnd == 7, "new command")
    assert flow.pacing_rate_bps == pytest.approx(12e6, rel=0.001)
    agent.stop()
    decisions = agent.table("decisions")
    assert (decisions["tier"] == "fake").mean() > 0.9
    assert set(decisions["flow"]) == {0}
    assert (decisions["applied_ns"] >= decisions["received_ns"]).all()
    assert list(events(agent, "tier")["detail"])[-1] == "fake"


def test_a_retransmission_timeout_restarts_from_one_packet(network, start_agent, server, wait_for):
    agent = start_agent(server=server.address, max_cwnd_packets=50)
    flow = network.flow(agent.cc)
    wait_for(lambda: flow.cwnd == 50, "command")
    network.right.set_link("down")
    wait_for(lambda: flow.ca_state == CA_LOSS, "retransmission timeout")
    assert flow.cwnd == 1
    network.right.set_link("up")
    wait_for(lambda: flow.ca_state != CA_LOSS, "recovery", 60.0)
    wait_for(lambda: flow.cwnd == 50, "command after recovery")
    agent.stop()


def test_kernel_takes_over_from_a_killed_agent_and_the_next_one_from_it(
    network, start_agent, server, wait_for
):
    agent = start_agent(server=server.address)
    flow = network.flow(agent.cc)
    flow.settles(8e6)
    killed_ns = time.monotonic_ns()
    agent.kill()
    wait_for(lambda: flow.rate_bps(0.5) > 12e6, "flow faster than commanded", 30.0)
    assert agent.cc in registered()
    again = start_agent(again=agent)
    flow.settles(8e6)
    again.stop()
    control = events(again, "control")
    fallback = control[
        (control["detail"] == f"kernel {again.kernel}") & (control["at_ns"] > killed_ns)
    ]
    # The datapath said when, 200 ms after the last heartbeat, at the next ACK: the record waited in
    # the ring for the new agent.
    assert 0 < fallback["at_ns"].iloc[0] - killed_ns < 5e9
    assert control["detail"].iloc[-1] == "agent"
    assert events(again, "takeover")["detail"].tolist() == ["1 flows"]
    # ACKs from before the kill, of the fallback and after: nothing logged was lost with the
    # process.
    acks = again.table("acks")
    assert acks["at_ns"].iloc[0] < killed_ns
    assert (acks["delivered_bytes"].diff().dropna() >= 0).all()
    flow.goes_on()  # it outlives the datapath


def test_a_ring_that_overruns_is_counted_and_recovers(network, start_agent, server, wait_for):
    agent = start_agent(server=server.address, ring_bytes=4096)
    flow = network.flow(agent.cc)
    wait_for(lambda: flow.received > 100_000, "a flow under way")
    os.kill(agent.process.pid, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(agent.process.pid, signal.SIGCONT)
    flow.settles(8e6)
    network.flows.remove(flow)
    flow.stop()
    agent.stop()
    assert agent.summary()["dropped_records"] > 20
    assert len(events(agent, "overrun")) >= 1
    acks = agent.table("acks")
    assert (
        abs(acks["acked_bytes"].iloc[-1] - flow.received) < 200_000
    )  # cumulative: the gap cost no bytes


@pytest.mark.parametrize("wake", ["window", "ack"])
def test_ipv6(network, start_agent, server, wake):
    agent = start_agent(server=server.address, wake=wake)
    flow = network.flow(agent.cc, 3, ipv6=True)
    flow.settles(8e6)
    agent.stop()
    assert set(agent.table("acks")["flow"]) == {3}


def test_two_agents_control_only_their_own_flows(network, start_agent, server):
    first = start_agent(server=server.address)
    second = start_agent(mode="observe")
    commanded, observed = network.flow(first.cc, 1), network.flow(second.cc, 2)
    commanded.settles(8e6, 0.15)
    first.stop()
    assert first.cc not in registered()
    assert second.cc in registered()
    second.stop()
    assert set(first.table("acks")["flow"]) == {1}
    assert set(second.table("acks")["flow"]) == {2}
    observed.goes_on()


def test_flows_of_other_namespaces_stay_with_the_kernel(network, start_agent, server, wait_for):
    agent = start_agent(server=server.address, netns_cookies=[network.right.cookie])
    flow = network.flow(agent.cc)
    wait_for(lambda: flow.rate_bps(0.7) > 12e6, "flow that nobody commands", 30.0)
    agent.stop()
    assert len(agent.table("acks")) == 0


def test_flows_of_other_namespaces_take_no_slot(network, start_agent, server):
    agent = start_agent(server=server.address, slots=2, netns_cookies=[network.left.cookie])
    with ExitStack() as others:
        for _ in range(4):
            listener = others.enter_context(network.right.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            other = others.enter_context(network.right.socket())
            other.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, agent.cc.encode())
            other.connect(listener.getsockname())
            peer = others.enter_context(listener.accept()[0])
            other.sendall(bytes(100_000))  # the kernel's fallback carries them
            assert len(peer.recv(100_000, socket.MSG_WAITALL)) == 100_000
        flow = network.flow(agent.cc)
        flow.settles(8e6)  # the server's
        agent.stop()
    assert agent.summary()["refused_flows"] == 0
    assert len(events(agent, "open")) == 1


def test_short_flows_reuse_slots(network, start_agent, server):
    agent = start_agent(server=server.address, slots=2)
    for number in range(6):
        flow = network.flow(agent.cc, number)
        time.sleep(0.1)
        network.flows.remove(flow)
        flow.stop()
    agent.stop()
    opened = events(agent, "open")
    assert len(opened) >= 5  # on some kernels a callback in a hundred is skipped
    assert opened["detail"].nunique() == len(opened)
    assert agent.summary()["refused_flows"] == 0


def test_nothing_is_left_behind(network, start_agent):
    agent = start_agent()
    network.flow(agent.cc)
    assert agent.pins.exists()
    agent.stop()
    assert agent.cc not in registered()
    assert not agent.pins.exists()


def test_local_policy_carries_a_flow_without_a_server(network, start_agent, wait_for):
    agent = start_agent(server="unix:/nonexistent/policy.sock")
    flow = network.flow(agent.cc)
    wait_for(lambda: flow.rate_bps(1.0) > 12e6, "flow under the local policy", 30.0)
    wait_for(lambda: agent.said("server-refused"), "refusal", 30.0)
    agent.stop()
    decisions = agent.table("decisions")
    assert set(decisions["tier"]) == {"local"}
    assert decisions["deadline_missed"].all()
    assert len(events(agent, "server-refused")) >= 1


@pytest.mark.parametrize("fault", ["killed", "silent"])
def test_control_passes_to_the_local_policy_and_returns_by_itself(
    network, start_agent, server, fault, wait_for
):
    agent = start_agent(server=server.address)
    flow = network.flow(agent.cc)
    wait_for(lambda: len(server.states) > 20, "state batches")
    if fault == "killed":
        server.stop()
    else:
        server.mute = True
    wait_for(lambda: agent.said("server-silent"), "the local policy", 30.0)
    flow.goes_on()
    if fault == "killed":
        server.start()
    else:
        server.mute = False
    flow.settles(8e6)
    agent.stop()
    tiers = events(agent, "tier")
    details = list(tiers["detail"])
    assert details[-1] == "fake"
    assert "local" in details[details.index("fake") :]
    assert np.all(np.diff(tiers["at_ns"]) > 0)
    assert len(events(agent, "server-silent")) >= 1
    if fault == "killed":
        assert len(events(agent, "server-lost")) == 1
        assert len(server.hellos) == 2
