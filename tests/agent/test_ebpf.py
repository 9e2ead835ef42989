"""The eBPF tier on the running kernel: real namespaces, real TCP flows, an agent as a process."""

import time

import numpy as np
import pytest

pytestmark = [pytest.mark.root, pytest.mark.ebpf]


def test_observe(network, start_agent):
    agent = start_agent(mode="observe")
    flow = network.flow(agent.cc)
    time.sleep(1.5)
    print(flow.cwnd, flow.pacing_rate_bps/1e6, flow.rate_bps(1)/1e6)
    network.flows.remove(flow)
    flow.stop()
    time.sleep(.2)
    agent.stop()
    print(agent.summary())
    a=agent.table("acks"); print(a.describe().to_string()); print(agent.table("events").to_string())

def test_local(network, start_agent):
    agent = start_agent()
    flow = network.flow(agent.cc)
    time.sleep(1.5)
    print(flow.cwnd, flow.pacing_rate_bps/1e6, flow.rate_bps(1)/1e6)
    time.sleep(2)
    print(flow.cwnd, flow.pacing_rate_bps/1e6, flow.rate_bps(1)/1e6)
    network.flows.remove(flow)
    flow.stop()
    time.sleep(.2)
    agent.stop()
    print(agent.summary())
    a=agent.table("acks"); print(agent.table("decisions").to_string()); print(agent.table("events").to_string())
