"""Networks in real namespaces, over a backend whose links are plain veth pairs."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

import topologies
from testbed.errors import UserError
from testbed.links.base import Attachment, Direction, LinkSpec, Queue
from testbed.links.impairments import Loss
from testbed.links.relay.backend import RelayBackend
from testbed.network import Bottleneck, build
from testbed.network.build import link_spec
from testbed.network.ping import ECHO_BYTES, PingFailed
from testbed.system.leftovers import clean
from testbed.system.netns import NetNs
from testbed.system.pids import processes_of_run
from testbed.system.rtnl import configure, create_veth
from testbed.system.scope import Scope
from topologies import Emulated
from traces.model import constant

BOTTLENECK = Bottleneck(
    constant(12e6), Queue(limit_bytes=60_000), Loss.random(0.01), jitter_ns=5, seed=3
)


class VethBackend:
    """Links without any delay or limit."""

    name = "veth"

    def unavailable(self) -> str | None:
        return None

    def open(
        self, scope: Scope, spec: LinkSpec, a: Attachment, b: Attachment, log_dir: Path
    ) -> object:
        create_veth(a.netns, a.ifname, b.netns, b.ifname)
        for end in (a, b):
            configure(end.netns, {end.ifname: end.address})
        return object()


@pytest.fixture
def scope(tmp_path: Path):
    with Scope(state_dir=tmp_path / "state") as scope:
        yield scope


def test_a_bottleneck_limits_data_only_and_draws_its_own_seeds() -> None:
    first = link_spec(Emulated("one", 10, 20, bottleneck=True), BOTTLENECK, 0)
    assert (first.forward.capacity, first.forward.queue, first.forward.loss) == (
        BOTTLENECK.capacity,
        BOTTLENECK.queue,
        BOTTLENECK.loss,
    )
    assert (first.forward.delay_ns, first.forward.jitter_ns) == (10, 5)
    assert first.reverse == Direction(delay_ns=20, seed=first.reverse.seed)
    second = link_spec(Emulated("two", 10, 20, bottleneck=True), BOTTLENECK, 1)
    assert len({way.seed for spec in (first, second) for way in (spec.forward, spec.reverse)}) == 4
    assert link_spec(Emulated("one", 10, 20, bottleneck=True), BOTTLENECK, 0) == first
    plain = link_spec(Emulated("three", 10, 20), BOTTLENECK, 2)
    assert plain.forward == Direction(delay_ns=10, seed=plain.forward.seed)


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "options", "delays_ms", "bottlenecks"),
    [
        ("dumbbell", {"flows": 2, "flow_rtts": ["20ms", "50ms"]}, [10, 25], ["bottleneck"] * 2),
        (
            "parking-lot",
            {"flows": 1, "rtt_ns": 40_000_000},
            [20, 10, 10],
            ["bottleneck1", "bottleneck1", "bottleneck2"],
        ),
        ("chain", {"flows": 2, "rtt_ns": 60_000_000}, [30, 30], ["hop2", "hop2"]),
        ("star", {"flows": 2, "rtt_ns": 60_000_000}, [30, 30], ["lastmile1", "lastmile2"]),
    ],
)
def test_built_in_topologies(
    name: str,
    options: dict[str, object],
    delays_ms: list[int],
    bottlenecks: list[str],
    scope: Scope,
) -> None:
    network = build(
        topologies.create(topologies.find(name), options),
        VethBackend(),
        BOTTLENECK,
        scope,
        scope.tmp,
    )
    assert [pair.forward_delay_ns for pair in network.pairs] == [
        delay * 1_000_000 for delay in delays_ms
    ]
    assert [pair.reverse_delay_ns for pair in network.pairs] == [
        delay * 1_000_000 for delay in delays_ms
    ]
    assert [pair.bottleneck for pair in network.pairs] == bottlenecks
    assert [link.index for link in network.links.values()] == list(range(len(network.links)))
    assert all(check.rtt_ns is not None for check in network.check())


@pytest.mark.root
def test_environment_is_as_read_back(scope: Scope) -> None:
    topology = topologies.create(topologies.find("dumbbell"), {})
    network = build(topology, VethBackend(), BOTTLENECK, scope, scope.tmp)
    environment = json.loads(json.dumps(network.environment))
    assert environment["sysctls"]["left"]["net.ipv4.ip_forward"] == "1"
    assert environment["sysctls"]["s1"]["net.ipv4.tcp_no_metrics_save"] == "1"
    offloads = environment["offloads"]
    assert set(offloads["left"]) == {"left-eth1"}  # the other interface is the backend's
    assert not any(
        on for node in offloads.values() for interface in node.values() for on in interface.values()
    )
    with network.hosts["s1"].netns.inside():
        names = {entry.name for entry in Path("/proc/thread-self/net/dev_snmp6").iterdir()}
    assert names <= {"lo", "s1-eth0"}


@pytest.mark.root
def test_mininet_touches_nothing_of_the_host(scope: Scope) -> None:
    def host() -> tuple[str, ...]:
        sysctls = ["net/ipv4/tcp_rmem", "net/core/rmem_max", "fs/file-max", "kernel/pty/max"]
        return (
            *(Path("/proc/sys", name).read_text() for name in sysctls),
            Path("/etc/hosts").read_text(),
        )

    before = host()
    with scope.child("cell") as cell:
        topology = topologies.create(topologies.find("dumbbell"), {})
        build(topology, VethBackend(), BOTTLENECK, cell, cell.tmp)
    assert host() == before


@pytest.mark.root
def test_tcp_passes_and_forwarders_see_it(scope: Scope) -> None:
    topology = topologies.create(topologies.find("parking-lot"), {"flows": 1})
    (pair, *_) = build(topology, VethBackend(), BOTTLENECK, scope, scope.tmp).pairs
    with pair.receiver.netns.inside():
        server = socket.create_server((pair.receiver.address, 5000))
    received: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            while chunk := connection.recv(65536):
                received.append(chunk)

    thread = threading.Thread(target=serve)
    thread.start()
    with pair.sender.netns.inside():
        client = socket.create_connection((pair.receiver.address, 5000), timeout=30)
    with client, server:
        client.sendall(bytes(100_000))
        client.shutdown(socket.SHUT_WR)
        thread.join(30)
    assert sum(map(len, received)) == 100_000


@pytest.mark.root
def test_two_networks_at_once_do_not_meet(tmp_path: Path) -> None:
    topology = topologies.create(topologies.find("dumbbell"), {})
    with Scope(state_dir=tmp_path) as one, Scope(state_dir=tmp_path) as two:
        networks = [
            build(topology, VethBackend(), BOTTLENECK, scope, scope.tmp) for scope in (one, two)
        ]
        cookies = [host.netns.cookie for network in networks for host in network.hosts.values()]
        assert len(set(cookies)) == 4
        for network in networks:
            network.check()


@pytest.mark.root
def test_a_host_that_cannot_be_reached_is_named(scope: Scope) -> None:
    class Cut(VethBackend):
        def open(
            self, scope: Scope, spec: LinkSpec, a: Attachment, b: Attachment, log_dir: Path
        ) -> object:
            with NetNs.create() as elsewhere:
                create_veth(a.netns, a.ifname, elsewhere, "end")
                create_veth(b.netns, b.ifname, elsewhere, "other")
                for end in (a, b):
                    configure(end.netns, {end.ifname: end.address})
                scope.callback(os.close, os.dup(elsewhere.fd))
            return object()

    network = build(
        topologies.create(topologies.find("dumbbell"), {}), Cut(), BOTTLENECK, scope, scope.tmp
    )
    with pytest.raises(PingFailed, match="d1 cannot be reached from s1"):
        network.check(timeout_s=0.2)


@pytest.mark.root
def test_a_backend_that_fails_leaves_nothing(tmp_path: Path) -> None:
    class Broken(VethBackend):
        def open(
            self, scope: Scope, spec: LinkSpec, a: Attachment, b: Attachment, log_dir: Path
        ) -> object:
            raise UserError("link bottleneck: out of luck")

    scope = Scope(state_dir=tmp_path)

    def run() -> None:
        with scope:
            build(
                topologies.create(topologies.find("dumbbell"), {}),
                Broken(),
                BOTTLENECK,
                scope,
                scope.tmp,
            )

    with pytest.raises(UserError, match="out of luck"):
        run()
    assert list(processes_of_run(scope.run_id)) == []
    assert list(tmp_path.iterdir()) == []


VICTIM = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("test_build", sys.argv[1])
helper = importlib.util.module_from_spec(spec)
spec.loader.exec_module(helper)
with helper.Scope(sys.argv[2], state_dir=Path(sys.argv[3])) as run:
    print("begun", flush=True)
    while True:
        with run.child("cell") as cell:
            topology = helper.topologies.create(helper.topologies.find("dumbbell"), {})
            backend = helper.VethBackend()
            network = helper.build(topology, backend, helper.BOTTLENECK, cell, cell.tmp)
            cell.spawn(["sleep", "60"], name="traffic", netns=network.hosts["s1"].netns)
"""


def namespaces(pids: Iterable[int | str]) -> set[str]:
    """The network namespaces that these processes are in, as far as they still run."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            found.add(str(Path(f"/proc/{pid}/ns/net").readlink()))
    return found


@pytest.mark.root
@pytest.mark.parametrize(
    ("signum", "seed"),
    [(signal.SIGKILL, n) for n in range(6)] + [(signal.SIGINT, n) for n in range(3)],
)
def test_ended_at_a_random_moment(signum: int, seed: int, tmp_path: Path) -> None:
    run_id = f"network-{os.getpid()}-{signum}-{seed}"
    argv = [sys.executable, "-c", VICTIM, __file__, run_id, str(tmp_path)]
    victim = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert victim.stdout is not None
    assert victim.stdout.readline() == b"begun\n"
    time.sleep(random.Random(seed).uniform(0.0, 0.4))
    own = namespaces(process.pid for process in processes_of_run(run_id)) - namespaces(["self"])
    victim.send_signal(signum)
    victim.communicate()
    if signum == signal.SIGKILL:
        (cleaned,) = clean(folder=tmp_path).cleaned
        assert cleaned.stuck == ()
    assert list(processes_of_run(run_id)) == []
    assert own & namespaces(entry.name for entry in Path("/proc").glob("[0-9]*")) == set()
    assert list(tmp_path.iterdir()) == []
    assert not Path(f"/tmp/tbtest-{run_id}").exists()


@pytest.mark.root
def test_with_the_relay_a_ping_takes_the_round_trip_asked_for(scope: Scope) -> None:
    backend = RelayBackend()
    if (reason := backend.unavailable()) is not None:
        pytest.skip(reason)
    topology = topologies.create(
        topologies.find("dumbbell"), {"flows": 2, "flow_rtts": ["20ms", "50ms"]}
    )
    bottleneck = Bottleneck(constant(12e6), Queue())
    for check in build(topology, backend, bottleneck, scope, scope.tmp).check():
        assert check.rtt_ns is not None
        assert check.rtt_ns >= check.base_rtt_ns


@pytest.mark.root
def test_our_own_pings_do_not_fill_a_slow_link(scope: Scope) -> None:
    """At 1 kbit/s an echo of 60 bytes takes 480 ms: three at most may wait when traffic begins."""
    topology = topologies.create(topologies.find("dumbbell"), {"flows": 1, "rtt_ns": 20_000_000})
    bottleneck = Bottleneck(constant(1e3), Queue(limit_bytes=60_000))
    network = build(topology, RelayBackend(), bottleneck, scope, scope.tmp)
    (check,) = network.check()
    assert check.rtt_ns is not None
    (link,) = network.links.values()
    assert link.link.sample().forward.backlog_bytes <= 3 * ECHO_BYTES
