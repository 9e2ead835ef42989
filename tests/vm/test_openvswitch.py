"""Mininet with Open vSwitch's kernel datapath, and a tc link behind it."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mininet.net import Mininet
from mininet.node import OVSBridge
from mininet.topo import Topo

from testbed.links.base import Attachment, Direction, LinkSpec, Queue
from testbed.links.tc.backend import TcBackend
from testbed.system.netns import NetNs
from testbed.system.scope import Scope
from traces import constant

pytestmark = [pytest.mark.root, pytest.mark.ovs]
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
MS = 1_000_000
RATE_BPS = 1e6


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetNs]:
    """A namespace with an Open vSwitch of its own: database, sockets and kernel datapath are nobody
    else's.
    """
    with (
        Scope(state_dir=tmp_path_factory.mktemp("state")) as scope,
        pytest.MonkeyPatch.context() as patch,
    ):
        netns = scope.enter(NetNs.create())
        for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"):
            patch.setenv(name, str(scope.tmp))
        subprocess.run(["ovsdb-tool", "create", scope.tmp / "conf.db", SCHEMA], check=True)
        server = ["ovsdb-server", str(scope.tmp / "conf.db"), f"--remote=punix:{scope.tmp}/db.sock"]
        for argv in (server, ["ovs-vswitchd", f"unix:{scope.tmp}/db.sock"]):
            scope.spawn(argv, name=argv[0], netns=netns)
            _wait_for(scope.tmp, argv[0])
        subprocess.run(["ovs-vsctl", "--no-wait", "--timeout=30", "init"], check=True)
        with netns.inside():
            yield netns


def _wait_for(folder: Path, daemon: str) -> None:
    deadline = time.monotonic() + 30
    while not list(folder.glob(f"{daemon}.*.ctl")) or not (folder / "db.sock").exists():
        assert time.monotonic() < deadline, (folder / f"{daemon}.log").read_text()
        time.sleep(0.1)


class QuietMininet(Mininet):
    """Without raising the limits and sysctls of the host."""

    @classmethod
    def init(cls) -> None:
        cls.inited = True


class Office(Topo):
    """Two hosts and a router on a switch; what lies behind the router is added by the test."""

    def build(self) -> None:
        switch = self.addSwitch("s1")
        for name, ip in (("h1", "10.0.1.1/24"), ("h2", "10.0.1.2/24"), ("r1", "10.0.1.254/24")):
            route = None if name == "r1" else "via 10.0.1.254"
            self.addLink(self.addHost(name, ip=ip, defaultRoute=route), switch)
        self.addHost("far", ip=None)


@pytest.fixture(scope="module")
def office(switches: NetNs) -> Iterator[Mininet]:
    net = QuietMininet(Office(), switch=OVSBridge, controller=None, build=False)
    try:
        net.build()
        net.start()
        yield net
    finally:
        net.stop()


def run(node: Any, command: str) -> str:
    """In the node's namespace; raises where Mininet would print."""
    argv = ["nsenter", f"--net=/proc/{node.pid}/ns/net", *shlex.split(command)]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def test_hosts_reach_each_other_through_the_kernel_s_datapath(office: Mininet) -> None:
    h1 = office["h1"]
    answer = run(h1, "ping -c 10 -i 0.2 10.0.1.2")
    assert " 0% packet loss" in answer
    assert "system@ovs-system" in run(office["s1"], "ovs-dpctl show")
    flows = run(office["s1"], "ovs-dpctl dump-flows")
    assert "eth_type(0x0800)" in flows
    # The first packet of a flow goes up to vswitchd, the others are the kernel's own work.
    assert max(map(int, re.findall(r"packets:(\d+)", flows))) >= 5


@pytest.mark.netem
def test_a_tc_link_behind_the_switch_carries_its_rate(
    office: Mininet,
    scope: Scope,
    carry: Callable[..., Any],
    record_property: Callable[[str, object], None],
) -> None:
    h1, r1, far = (scope.enter(NetNs.of(office[name].pid)) for name in ("h1", "r1", "far"))
    forward = Direction(constant(RATE_BPS), Queue(limit_bytes=40_000), delay_ns=20 * MS)
    spec = LinkSpec("wan", forward, Direction(delay_ns=20 * MS))
    ends = Attachment(r1, "wan-a", "10.0.2.1/30"), Attachment(far, "wan-b", "10.0.2.2/30")
    link = TcBackend().open(scope, spec, *ends, scope.tmp)
    run(office["r1"], "sysctl -q -w net.ipv4.ip_forward=1")
    run(office["far"], "ip route add default via 10.0.2.1")
    link.start(time.monotonic_ns())
    carried = carry(h1, far, "10.0.2.2", "cubic", 6.0)
    record_property("carried", carried)
    assert 0.9 < carried.share(RATE_BPS) < 1.1
    assert 40 <= carried.rtt_ms < 40 + 400  # the queue holds 320 ms
    assert any("no packet log" in warning for warning in link.stop().warnings)
