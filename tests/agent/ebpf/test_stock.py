"""The eBPF datapath on a distribution's kernel, at rates that an emulated machine carries too."""

import platform
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.ebpf, pytest.mark.ebpf_stock]
# In an emulated machine heartbeats and answers may be late by more than the defaults allow.
PATIENT = {"stale_ns": 1_000_000_000, "deadline_ns": 2_000_000_000}
FOLLOW_S = 40.0


def registered():
    return Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


def best_fallback():
    """The kernel's BBR takes the arguments that the datapath gives it from Linux 6.10 on."""
    version = tuple(map(int, platform.release().split("-")[0].split("+")[0].split(".")[:2]))
    return "bbr" if version >= (6, 10) else "aimd"


@pytest.mark.parametrize("kernel", ["aimd", "cubic"])
def test_every_ack_is_seen(network, start_agent, kernel, wait_for):
    agent = start_agent(mode="observe", kernel=kernel)
    assert (agent.tier, agent.kernel) == ("ebpf", kernel)
    flow = network.flow(agent.cc)
    wait_for(lambda: flow.received > 500_000, "half a megabyte", 30.0)
    network.flows.remove(flow)
    flow.stop()
    agent.stop()
    acks = agent.table("acks")
    assert abs(acks["acked_bytes"].iloc[-1] - flow.received) < 200_000
    assert agent.summary()["dropped_records"] == 0


def test_commands_are_followed_and_the_kernel_takes_over_when_the_agent_dies(
    network, start_agent, server, wait_for
):
    def commanded():
        return flow.rate_bps(2.0) == pytest.approx(1e6, rel=0.1) and flow.cwnd == 100

    server.rate_bps, server.cwnd_packets = 1e6, 100.0
    agent = start_agent(server=server.address, **PATIENT)
    assert (agent.tier, agent.kernel) == ("ebpf", best_fallback())
    flow = network.flow(agent.cc)
    wait_for(commanded, "commanded rate and cwnd", FOLLOW_S)
    killed_ns = time.monotonic_ns()
    agent.kill()
    wait_for(lambda: flow.rate_bps(0.5) > 2e6, "flow faster than commanded", FOLLOW_S)
    again = start_agent(again=agent)
    wait_for(commanded, "commanded rate and cwnd", FOLLOW_S)
    again.stop()
    events = again.table("events")
    control = events[events["event"] == "control"]
    fallback = control[
        (control["detail"] == f"kernel {again.kernel}") & (control["at_ns"] > killed_ns)
    ]
    assert 0 < fallback["at_ns"].iloc[0] - killed_ns < 3e9  # 1 s after the last heartbeat
    assert events["detail"][events["event"] == "takeover"].tolist() == ["1 flows"]
    assert again.cc not in registered()
    assert not again.pins.exists()
