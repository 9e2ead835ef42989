"""One network with links of either backend, and the kernel's own pacing at the sender."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import topologies
from testbed.links import backend
from testbed.links.base import Queue
from testbed.network import Bottleneck, Network, build
from testbed.system.scope import Scope
from traces import Steps, Trace, constant

pytestmark = [pytest.mark.root, pytest.mark.netem]
MS = 1_000_000
RATE_BPS = 2e6
RTT_MS = 40
QUEUE_BYTES = 120_000  # 480 ms of the rate
CarryPair = Callable[..., Any]


def dumbbell(scope: Scope, name: str, trace: Trace) -> Network:
    topology = topologies.create(topologies.find("dumbbell"), {"rtt_ns": RTT_MS * MS})
    return build(topology, backend(name), Bottleneck(trace, Queue(limit_bytes=QUEUE_BYTES)), scope, scope.tmp)


def test_tc_and_relay_links_agree(scope: Scope, carry_pair: CarryPair) -> None:
    """Stated bounds: goodput within 3 %, the idle round trip within 5 ms, that under load within 10 %.

    The receiver's window, four times the BDP, keeps the queue filled and never lets it overflow.
    """
    starts_ns = np.arange(4) * 1000 * MS
    trace = Trace("steps", 4000 * MS, Steps(starts_ns, np.array([1.0, 1.25, 0.75, 1.0]) * RATE_BPS), None)
    idle_ms, carried = {}, {}
    for name in ("relay", "tc"):
        with scope.child(name) as cell:
            network = dumbbell(cell, name, trace)
            (check,) = network.check(timeout_s=10)
            assert check.rtt_ns is not None
            idle_ms[name] = check.rtt_ns / 1e6
            carried[name] = carry_pair(network, "cubic", 8.0, window_bytes=40_000)
    print(idle_ms, carried)
    for name, rtt_ms in idle_ms.items():
        assert rtt_ms >= RTT_MS, name
        assert carried[name].share(RATE_BPS) > 0.95, name
    assert idle_ms["tc"] == pytest.approx(idle_ms["relay"], abs=5)
    assert carried["tc"].goodput_bps == pytest.approx(carried["relay"].goodput_bps, rel=0.03)
    assert carried["tc"].rtt_ms == pytest.approx(carried["relay"].rtt_ms, rel=0.1)


@pytest.mark.parametrize("qdisc", ["fq", "noqueue"])
def test_bbr_fills_the_link_and_not_its_queue(scope: Scope, carry_pair: CarryPair, qdisc: str) -> None:
    """Paced by fq at the sender, and by TCP itself."""
    network = dumbbell(scope, "tc", constant(RATE_BPS))
    device = ["dev", "s1-eth0"]
    with network.hosts["s1"].netns.inside():
        if qdisc == "fq":
            subprocess.run(["tc", "qdisc", "add", *device, "root", "fq"], check=True)
        carried = carry_pair(network, "bbr", 6.0)
        shown = subprocess.run(["tc", "-s", "-j", "qdisc", "show", *device], check=True, capture_output=True)
    print(carried, shown.stdout)
    (found,) = json.loads(shown.stdout)
    assert found["kind"] == qdisc
    if qdisc == "fq":
        assert found["throttled"] > 100  # packets that fq held back until their time
    assert carried.share(RATE_BPS) > 0.85
    assert RTT_MS <= carried.rtt_ms < RTT_MS + 200  # CUBIC would fill the queue: 480
