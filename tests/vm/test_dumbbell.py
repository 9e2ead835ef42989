"""One network with links of either backend, and the kernel's own pacing at the sender."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from math import inf
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
RATE_BPS = 1e6
RTT_MS = 100
QUEUE_BYTES = 100_000  # 800 ms of the rate
CarryPair = Callable[..., Any]
Record = Callable[[str, object], None]  # into junit.xml


def dumbbell(scope: Scope, name: str, trace: Trace) -> Network:
    topology = topologies.create(topologies.find("dumbbell"), {"rtt_ns": RTT_MS * MS})
    return build(
        topology, backend(name), Bottleneck(trace, Queue(limit_bytes=QUEUE_BYTES)), scope, scope.tmp
    )


def test_tc_and_relay_links_agree(
    scope: Scope, carry_pair: CarryPair, record_property: Record
) -> None:
    """Stated bounds: goodput within 3 %, the idle round trip within 20 ms, that under load within
    10 %.

    The receiver's window, four times the BDP, keeps the queue filled and never lets it overflow.
    """
    starts_ns = np.arange(4) * 1000 * MS
    trace = Trace(
        "steps", 4000 * MS, Steps(starts_ns, np.array([1.0, 1.25, 0.75, 1.0]) * RATE_BPS), None
    )
    idle_ms, carried = {}, {}
    for name in ("relay", "tc"):
        with scope.child(name) as cell:
            network = dumbbell(cell, name, trace)
            idle_ms[name] = (
                min(check.rtt_ns or inf for _ in range(3) for check in network.check(10)) / 1e6
            )
            carried[name] = carry_pair(network, "cubic", 8.0, window_bytes=50_000)
    record_property("idle_ms", idle_ms)
    record_property("carried", carried)
    for name, rtt_ms in idle_ms.items():
        assert rtt_ms >= RTT_MS, name
        assert carried[name].share(RATE_BPS) > 0.95, name
    assert idle_ms["tc"] == pytest.approx(idle_ms["relay"], abs=20)
    assert carried["tc"].goodput_bps == pytest.approx(carried["relay"].goodput_bps, rel=0.03)
    assert carried["tc"].rtt_ms == pytest.approx(carried["relay"].rtt_ms, rel=0.1)


def test_bbr_paced_by_fq_fills_the_link_and_not_its_queue(
    scope: Scope, carry_pair: CarryPair, record_property: Record
) -> None:
    network = dumbbell(scope, "tc", constant(RATE_BPS))
    device = ["dev", "s1-eth0"]
    with network.hosts["s1"].netns.inside():
        subprocess.run(["tc", "qdisc", "add", *device, "root", "fq"], check=True)
        carried = carry_pair(network, "bbr", 8.0)
        shown = subprocess.run(
            ["tc", "-s", "-j", "qdisc", "show", *device], check=True, capture_output=True
        )
    (fq,) = json.loads(shown.stdout)
    record_property("carried", carried)
    record_property("throttled", fq["throttled"])
    assert fq["kind"] == "fq"
    assert fq["throttled"] > 50  # how often it held a packet back until its time
    assert carried.share(RATE_BPS) > 0.7
    assert RTT_MS <= carried.rtt_ms < RTT_MS + 400  # CUBIC would fill the queue: 800
