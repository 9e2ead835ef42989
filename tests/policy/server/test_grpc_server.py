"""The server as a process: streams over unix socket and TLS, limits, faults, metrics, drain."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from bench.fault_route import make_certificate
from policy.protocol import policy_pb2 as pb
from policy.protocol.policy_pb2_grpc import PolicyStub

SLOW_POLICY = """
import time
import numpy as np
from tbtest import Actions

class Slow:
    def decide(self, batch, now_ns):
        time.sleep(0.03)
        return Actions(np.full(len(batch), 7e6), np.full(len(batch), 10.0))
"""


class Server:
    """A policy server of our own."""

    def __init__(self, folder: Path, prelude: str = "", **settings: object) -> None:
        folder.mkdir(exist_ok=True)
        config = folder / "config.yaml"
        defaults = {"listen": f"unix:{folder}/s", "difficult": None, "metrics": 0, "drain_s": 1.0}
        config.write_text(json.dumps(defaults | settings))
        code = (
            f"{prelude}\nimport sys\nfrom policy.__main__ import "
            f"main\nsys.exit(main([{str(config)!r}]))"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert ready.startswith("ready "), self.process.communicate()[1]
        self.address = ready.split()[1]
        self._metrics = self.process.stdout.readline().split()[1]

    def metric(self, name: str) -> float:
        """Sum of a metric's samples; name may hold labels."""
        with urllib.request.urlopen(self._metrics) as reply:
            text = reply.read().decode()
        found = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for value in found)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.errors = self.process.communicate(timeout=60)[1]
        finally:
            self.process.kill()
        return self.process.returncode


class Stream:
    """One agent's stream; reads in gRPC's own thread."""

    def __init__(
        self, channel: grpc.Channel, metadata: list[tuple[str, str]] | None = None
    ) -> None:
        self._out: Queue[pb.AgentMessage | None] = Queue()
        self.call = PolicyStub(channel).Decide(
            iter(self._out.get, None), metadata=metadata, timeout=60
        )

    def send(self, message: pb.Hello | pb.StateBatch) -> None:
        if isinstance(message, pb.Hello):
            self._out.put(pb.AgentMessage(hello=message))
        else:
            self._out.put(pb.AgentMessage(state=message))

    def receive(self) -> pb.ServerMessage:
        return next(self.call)

    def error(self) -> grpc.RpcError:
        """The status that ends the stream; messages before it are skipped."""
        with pytest.raises(grpc.RpcError) as info:
            list(self.call)
        return info.value

    def close(self) -> None:
        self._out.put(None)
        self.call.cancel()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {"message_bytes": 2**20, "hello_timeout_s": 0.5}
    made = Server(tmp_path_factory.mktemp("server"), limits=limits)
    yield made
    assert made.stop() == 0


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[[], Stream]]:
    opened: list[tuple[grpc.Channel, Stream]] = []

    def make() -> Stream:
        channel = grpc.insecure_channel(
            server.address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        opened.append((channel, Stream(channel)))
        return opened[-1][1]

    yield make
    for channel, stream in opened:
        stream.close()
        channel.close()


def start(stream: Stream, agent, policy: str = "gcc", **changes: object) -> pb.Welcome:
    stream.send(agent.hello(policy, **changes))
    welcome = stream.receive().welcome
    stream.send(agent.opening())
    return welcome


def test_windows_are_answered(server: Server, connect, agent) -> None:
    stream = connect()
    welcome = start(stream, agent, "apc")
    assert (welcome.version, welcome.policy, welcome.light_tier, welcome.difficult_tier) == (
        1,
        "apc",
        "persistence",
        "",
    )
    before = server.metric("tbtest_decisions_total")
    for _ in range(3):
        stream.send(agent.window())
        assert stream.receive().decisions.sequence == agent.sequence
    assert server.metric("tbtest_decisions_total") - before == 6
    assert server.metric('tbtest_decision_latency_seconds_count{tier="persistence"}') >= 6
    assert server.metric("tbtest_flows") == 2


def test_health_and_reflection(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="tbtest.policy.v1.Policy")
        )
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (listed,) = stub.ServerReflectionInfo(iter([request]))
        assert "tbtest.policy.v1.Policy" in {s.name for s in listed.list_services_response.service}


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (pb.StateBatch(sequence=1), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.Hello(version=99, agent_id="a"), grpc.StatusCode.INVALID_ARGUMENT),
        (None, grpc.StatusCode.INVALID_ARGUMENT),  # says nothing
    ],
)
def test_a_wrong_beginning_ends_the_stream(connect, first, code) -> None:
    stream = connect()
    if first is not None:
        stream.send(first)
    assert stream.error().code() == code


def test_garbage_and_oversized_messages_end_only_their_own_stream(
    server: Server, connect, agent, make_agent
) -> None:
    good = connect()
    start(good, agent)
    with grpc.insecure_channel(server.address) as channel:
        raw = channel.stream_stream("/tbtest.policy.v1.Policy/Decide")
        with pytest.raises(grpc.RpcError):
            list(raw(iter([os.urandom(200)])))
    big = connect()
    start(big, make_agent())
    big.send(pb.StateBatch(sequence=9, records=pb.AckRecords(flow=b"\0" * 2**21)))
    assert big.error().code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    odd = connect()
    start(odd, make_agent())
    odd.send(pb.StateBatch(sequence=9, records=pb.AckRecords(flow=b"\0\0\0\0")))
    assert odd.error().code() == grpc.StatusCode.INVALID_ARGUMENT
    good.send(agent.window())
    assert good.receive().WhichOneof("message") == "decisions"


def test_an_agent_that_vanishes_leaves_no_flows(server: Server, connect, agent) -> None:
    stream = connect()
    start(stream, agent)
    stream.send(agent.window())
    stream.receive()
    assert server.metric("tbtest_flows") >= 2
    stream.close()
    again = connect()
    for _ in range(100):
        if server.metric("tbtest_streams") == 0:
            break
        time.sleep(0.05)
    assert server.metric("tbtest_flows") == 0
    agent.sequence = 0
    start(again, agent)
    again.send(agent.window())
    assert again.receive().WhichOneof("message") == "decisions"


def test_rejections_are_told(connect, agent) -> None:
    stream = connect()
    start(stream, agent)
    agent.changes = {"pacing_rate_bps": float("nan")}
    stream.send(agent.window())
    got = {m.WhichOneof("message"): m for m in (stream.receive(), stream.receive())}
    assert dict(got["rejected"].rejected.count) == {"bad_rate": 10}


def test_a_slow_tier_answers_after_the_light_one_and_sigterm_drains(
    tmp_path: Path, make_agent
) -> None:
    (tmp_path / "mine.py").write_text(SLOW_POLICY)
    slow = f"{tmp_path}/mine.py:Slow"
    server = Server(tmp_path, difficult=slow, drain_s=10.0)
    agent = make_agent(queue_ms=100.0)
    with grpc.insecure_channel(server.address) as channel:
        stream = Stream(channel)
        patient = {"deadline_ns": 10_000_000_000}  # however busy the machine is
        assert start(stream, agent, "apc", **patient).difficult_tier == slow
        tiers = []
        for _ in range(3):
            stream.send(agent.window())
            tiers += [stream.receive().decisions.tier, stream.receive().decisions.tier]
        assert tiers == ["persistence", "mine.py:Slow"] * 3
        assert server.metric('tbtest_decisions_total{tier="mine.py:Slow"}') == 6
        # A batch under way is still answered.
        stream.send(agent.window())
        assert stream.receive().decisions.tier == "persistence"
        server.process.send_signal(signal.SIGTERM)
        assert stream.receive().decisions.tier == "mine.py:Slow"
        assert stream.error().code() == grpc.StatusCode.UNAVAILABLE
        assert server.stop() == 0
    assert not Path(server.address.removeprefix("unix:")).exists()


@pytest.mark.torch
def test_a_model_has_a_process_that_may_die(tmp_path: Path, gru: Path, make_agent) -> None:
    server = Server(
        tmp_path, difficult="gru", models={"gru": str(gru)}, device="cpu", log="warning"
    )
    try:
        agent = make_agent(queue_ms=100.0)
        assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()
        with grpc.insecure_channel(server.address) as channel:
            stream = Stream(channel)
            assert start(stream, agent, "apc", deadline_ns=60_000_000_000).difficult_tier == "gru"

            def tiers_of_a_window() -> list[str]:
                stream.send(agent.window())
                return [stream.receive().decisions.tier, stream.receive().decisions.tier]

            assert tiers_of_a_window() == ["persistence", "gru"]
            children = Path(
                f"/proc/{server.process.pid}/task/{server.process.pid}/children"
            ).read_text()
            os.kill(int(children), signal.SIGKILL)
            stream.send(agent.window())
            assert stream.receive().decisions.tier == "persistence"
            while server.metric('tbtest_answers_dropped_total{reason="failed",tier="gru"}') < 2:
                time.sleep(0.05)
            # The batch of the next window waits for the new process.
            assert tiers_of_a_window() == ["persistence", "gru"]
            stream.close()
    finally:
        assert server.stop() == 0
    assert "tier gru failed on a batch of 2: its process was killed by signal 9" in server.errors


@pytest.mark.torch
def test_a_model_that_does_not_load_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        json.dumps(
            {"listen": f"unix:{tmp_path}/s", "difficult": "gru", "models": {"gru": "nowhere"}}
        )
    )
    failed = subprocess.run(
        [sys.executable, "-m", "policy", config],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert failed.returncode == 2
    (line,) = failed.stderr.splitlines()
    assert line.startswith("policy server: tier gru: no checkpoint folder 'nowhere'; bundled")


def test_tcp_needs_tls_and_the_token(tmp_path: Path, agent) -> None:
    cert, key, token = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "token"
    make_certificate(cert, key, "DNS:localhost")
    token.write_text("0123456789abcdef0123\n")
    server = Server(
        tmp_path / "s",
        listen="localhost:0",
        tls_cert=str(cert),
        tls_key=str(key),
        token_file=str(token),
        limits={"hello_timeout_s": 1.0},
    )
    try:
        host, _, port = server.address.rpartition(":")
        trusting = ssl.create_default_context(cafile=cert)
        trusting.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host, int(port)), timeout=60) as silent,
            trusting.wrap_socket(
                socket.create_connection((host, int(port)), timeout=60), server_hostname=host
            ) as idle,
        ):
            assert silent.recv(1) == b""  # neither keeps its descriptor
            while idle.recv(4096):
                pass
        with grpc.secure_channel(
            server.address, grpc.ssl_channel_credentials(cert.read_bytes())
        ) as channel:
            for metadata in (None, [("authorization", "Bearer wrong")]):
                stream = Stream(channel, metadata)
                stream.send(agent.hello())
                assert stream.error().code() == grpc.StatusCode.UNAUTHENTICATED
            stream = Stream(channel, [("authorization", "Bearer 0123456789abcdef0123")])
            assert start(stream, agent).policy == "gcc"
            stream.close()
        with grpc.insecure_channel(server.address) as channel:
            stream = Stream(channel)
            stream.send(agent.hello())
            assert stream.error().code() == grpc.StatusCode.UNAVAILABLE
    finally:
        assert server.stop() == 0


def test_the_address_of_a_live_server_is_not_taken(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"listen": server.address, "difficult": None}))
    second = subprocess.run(
        [sys.executable, "-m", "policy", config],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 2
    assert "another server listens there" in second.stderr
    assert Path(server.address.removeprefix("unix:")).is_socket()
