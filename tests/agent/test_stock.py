"""The eBPF datapath on a distribution's kernel, at rates that an emulated machine carries too."""

import platform
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.ebpf, pytest.mark.ebpf_stock]
FOLLOW_S = 15.0  # an emulated agent takes seconds to start


def registered():
    return Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


def test_the_fallback_is_the_best_that_this_kernel_takes(start_agent):
    agent = start_agent()
    version = tuple(map(int, platform.release().split("-")[0].split("+")[0].split(".")[:2]))
    assert (agent.tier, agent.kernel) == ("ebpf", "bbr" if version >= (6, 10) else "aimd")
    assert agent.cc in registered()
    assert agent.pins.exists()
    agent.stop()
    assert agent.cc not in registered()
    assert not agent.pins.exists()


@pytest.mark.parametrize("kernel", ["aimd", "cubic"])
def test_every_ack_is_seen(network, start_agent, kernel):
    agent = start_agent(mode="observe", kernel=kernel)
    assert (agent.tier, agent.kernel) == ("ebpf", kernel)
    flow = network.flow(agent.cc)
    time.sleep(2.0)
    network.flows.remove(flow)
    flow.stop()
    agent.stop()
    acks = agent.table("acks")
    assert flow.received > 500_000
    assert abs(acks["acked_bytes"].iloc[-1] - flow.received) < 200_000
    assert agent.summary()["dropped_records"] == 0


def test_commands_are_followed_and_the_kernel_takes_over_when_the_agent_dies(
    network, start_agent, server, wait_for
):
    server.rate_bps, server.cwnd_packets = 1e6, 100.0
    agent = start_agent(server=server.address)
    flow = network.flow(agent.cc)
    wait_for(lambda: flow.pacing_rate_bps == pytest.approx(1e6, rel=0.01), "commanded rate", FOLLOW_S)
    time.sleep(0.5)  # what was in flight before
    assert flow.rate_bps(3.0) == pytest.approx(1e6, rel=0.1)
    assert flow.cwnd == 100
    killed_ns = time.monotonic_ns()
    agent.kill()
    wait_for(lambda: flow.rate_bps(0.5) > 2e6, "faster flow than commanded", FOLLOW_S)
    again = start_agent(again=agent)
    wait_for(lambda: flow.pacing_rate_bps == pytest.approx(1e6, rel=0.01), "commanded rate", FOLLOW_S)
    again.stop()
    events = again.table("events")
    control = events[events["event"] == "control"]
    fallback = control[(control["detail"] == f"kernel {again.kernel}") & (control["at_ns"] > killed_ns)]
    assert 100e6 < fallback["at_ns"].iloc[0] - killed_ns < 1e9  # 200 ms after the last heartbeat
    assert control["detail"].iloc[-1] == "agent"
    assert events["detail"][events["event"] == "takeover"].tolist() == ["1 flows"]
    assert again.cc not in registered()
