"""A private pair of hosts with a shaped link, TCP flows between them, and agents as real
processes.
"""

import ctypes
import itertools
import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest

from agent import log
from agent.ebpf import bpffs
from policy.protocol import policy_pb2, policy_pb2_grpc
from testbed.system.scope import Scope

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def _wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """The condition's value once it is true."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, f"no {what} within {timeout_s} s"
        time.sleep(0.02)
    return value


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    return _wait_for


@dataclass
class Host:
    """A namespace; `socket` opens sockets inside it that any thread may use."""

    pid: int
    address: str
    address6: str

    @property
    def path(self) -> str:
        return f"/proc/{self.pid}/ns/net"

    def run(self, command: str) -> None:
        inside = ["nsenter", f"--net={self.path}", *shlex.split(command)]
        subprocess.run(inside, check=True, capture_output=True)

    def inside(self, action: Callable[[], Any]) -> Any:
        result: list[Any] = []

        def enter() -> None:
            fd = os.open(self.path, os.O_RDONLY)
            try:
                assert _libc.setns(fd, 0x40000000) == 0
            finally:
                os.close(fd)
            result.append(action())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return result[0]

    def set_link(self, state: str) -> None:
        """Take its interface "up" or "down"."""
        self.run(f"ip link set eth0 {state}")

    def socket(self, family: int = socket.AF_INET) -> socket.socket:
        return self.inside(lambda: socket.socket(family, socket.SOCK_STREAM))

    @property
    def cookie(self) -> int:
        with self.socket() as probe:
            return struct.unpack("=Q", probe.getsockopt(socket.SOL_SOCKET, 71, 8))[0]


@dataclass
class Flow:
    """A bulk transfer between two hosts; `received` counts bytes at the receiver."""

    sender: socket.socket
    receiver: socket.socket
    received: int = 0
    _stop: bool = False
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self) -> None:
        data = bytes(65536)
        self.sender.settimeout(0.2)
        while not self._stop:
            try:
                self.sender.send(data)
            except TimeoutError:
                continue
            except OSError:
                return

    def _receive(self) -> None:
        while chunk := self.receiver.recv(1 << 18):
            self.received += len(chunk)

    def rate_bps(self, seconds: float) -> float:
        """Goodput over the next `seconds`."""
        before, started = self.received, time.monotonic()
        time.sleep(seconds)
        return 8 * (self.received - before) / (time.monotonic() - started)

    def settles(self, rate_bps: float, tolerance: float = 0.1) -> None:
        """Wait for half a second of this goodput: a busy machine takes its time to get there."""
        _wait_for(
            lambda: self.rate_bps(0.5) == pytest.approx(rate_bps, rel=tolerance),
            f"rate of {rate_bps / 1e6:g} Mbit/s",
            timeout_s=60.0,
        )

    def goes_on(self) -> None:
        """Wait for half a second of more than 1 Mbit/s: a retransmission timeout, or a machine that
        pauses, makes a gap that is not the agent's.
        """
        _wait_for(lambda: self.rate_bps(0.5) > 1e6, "flow that goes on", timeout_s=30.0)

    def info(self, offset: int, form: str) -> Any:
        """A member of the sender's TCP_INFO."""
        raw = self.sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
        return struct.unpack_from(form, raw, offset)[0]

    @property
    def ca_state(self) -> int:
        return self.info(1, "=B")

    @property
    def cwnd(self) -> int:
        return self.info(80, "=I")

    @property
    def pacing_rate_bps(self) -> int:
        return 8 * self.info(104, "=Q")

    def stop(self) -> None:
        self._stop = True
        if self.threads:
            self.threads[0].join()
        self.sender.close()
        for thread in self.threads[1:]:
            thread.join()
        self.receiver.close()


@dataclass
class Network:
    """Two hosts on a veth pair, 20 Mbit/s by tbf each way from the sender, no added delay."""

    left: Host
    right: Host
    flows: list[Flow] = field(default_factory=list)

    def flow(self, cc: str, number: int = 0, *, ipv6: bool = False, start: bool = True) -> Flow:
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        listener = self.right.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        target = self.right.address6 if ipv6 else self.right.address
        listener.bind((target, 5000 + number))
        listener.listen(1)
        sender = self.left.socket(family)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, cc.encode())
        sender.bind((self.left.address6 if ipv6 else self.left.address, 40000 + number))
        sender.connect((target, 5000 + number))
        receiver, _ = listener.accept()
        listener.close()
        flow = Flow(sender, receiver)
        self.flows.append(flow)
        if start:
            flow.start()
        return flow


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    # A namespace lives as long as its process, which ends with this one, however that ends.
    with Scope(state_dir=tmp_path / "state") as scope:
        hosts = []
        for index in (1, 2):
            holder = scope.spawn(
                ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"],
                name=f"host-{index}",
            )
            holder.read_line(5)
            hosts.append(Host(holder.pid, f"10.9.0.{index}", f"fd09::{index}"))
        left, right = hosts
        left.run(f"ip link add eth0 type veth peer name eth0 netns {right.pid}")
        for host in hosts:
            host.run(f"ip address add {host.address}/24 dev eth0")
            host.run(f"ip address add {host.address6}/64 dev eth0 nodad")
            host.run("ip link set lo up")
            host.run("ip link set eth0 up")
            host.run("ethtool -K eth0 tso off gso off gro off")
            host.run("sh -c 'echo 0 > /proc/sys/net/ipv4/tcp_tso_rtt_log'")
        left.run("tc qdisc add dev eth0 root tbf rate 20mbit burst 3200 limit 60000")
        net = Network(left, right)
        try:
            yield net
        finally:
            for flow in net.flows:
                flow.stop()


@dataclass
class RunningAgent:
    """An agent process."""

    process: subprocess.Popen[str]
    config: dict[str, Any]
    tier: str
    kernel: str

    @property
    def cc(self) -> str:
        return self.config["cc_name"]

    @property
    def pins(self) -> Path:
        return Path("/sys/fs/bpf") / f"tbtest-{self.cc}"

    @property
    def log_dir(self) -> Path:
        return Path(self.config["log_dir"])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0

    def summary(self) -> dict[str, Any]:
        return json.loads((self.log_dir / "agent.json").read_text())

    def said(self, event: str) -> bool:
        """Whether the event stands in the log of the running agent."""
        logs = self.log_dir.glob("events-*.arrows")
        return any(event.encode() in log.read_bytes() for log in logs)

    def table(self, name: str) -> Any:
        """A log of the agent, as a pandas frame, once the agent has ended."""
        return pq.read_table(self.log_dir / f"{name}.parquet").to_pandas()


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., RunningAgent]]:
    """Starts agents; `start_agent(again=agent)` starts one anew with the same config."""
    agents: list[RunningAgent] = []

    def start(again: RunningAgent | None = None, **settings: Any) -> RunningAgent:
        name = f"tb{os.getpid() % 0x10000:04x}{next(_numbers):03x}"
        config = (
            again.config
            if again
            else {"cc_name": name, "log_dir": str(tmp_path / name), **settings}
        )
        path = tmp_path / f"{config['cc_name']}.json"
        path.write_text(json.dumps(config))
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline().split()
        if not line:
            pytest.fail(f"the agent did not start: {process.stderr.read()}")
        assert line[0] == "ready"
        agent = RunningAgent(
            process, {**config, "cc_name": line[1]} if line[2] == "portable" else config, *line[2:]
        )
        agents.append(agent)
        return agent

    yield start
    for agent in agents:
        agent.process.kill()
        agent.process.wait()
        for stream in (agent.process.stdout, agent.process.stderr):
            assert stream
            stream.close()
    for agent in agents:
        bpffs.clean(agent.pins)
        log.finish(agent.log_dir)


class FakeServer(policy_pb2_grpc.PolicyServicer):
    """A policy server that answers every window with the same command, or not at all."""

    def __init__(self, address: str) -> None:
        self.rate_bps, self.cwnd_packets, self.mute = 8e6, 1000.0, False
        self.generation_offset = 0
        self.max_records = 4096
        self.hellos: list[Any] = []
        self.states: list[Any] = []
        self._address = address
        self._server: grpc.Server | None = None

    @property
    def address(self) -> str:
        return self._address

    def start(self) -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        policy_pb2_grpc.add_PolicyServicer_to_server(self, self._server)
        self._server.add_insecure_port(self._address)
        self._server.start()

    def stop(self) -> None:
        if self._server:
            self._server.stop(0).wait()
            self._server = None

    def Decide(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802, gRPC's name
        self.hellos.append(next(requests).hello)
        yield policy_pb2.ServerMessage(
            welcome=policy_pb2.Welcome(
                version=1, policy="fake", max_flows=64, max_records=self.max_records
            )
        )
        for message in requests:
            state = message.state
            self.states.append(state)
            asked = np.frombuffer(state.windows.flow, "<u4")
            if len(asked) and not self.mute:
                yield policy_pb2.ServerMessage(decisions=self._decide(state, len(asked)))

    def _decide(self, state: Any, count: int) -> Any:
        generation = np.frombuffer(state.windows.generation, "<u4") + self.generation_offset
        return policy_pb2.DecisionBatch(
            sequence=state.sequence,
            tier="fake",
            compute_ns=1000,
            flow=state.windows.flow,
            generation=generation.astype("<u4").tobytes(),
            window=state.windows.window,
            pacing_rate_bps=np.full(count, self.rate_bps, np.float64).tobytes(),
            cwnd_packets=np.full(count, self.cwnd_packets, np.float64).tobytes(),
            queue_ns=np.zeros(count, np.int64).tobytes(),
            reasons=bytes(count),
        )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    fake = FakeServer(f"unix:{tmp_path}/policy.sock")
    fake.start()
    yield fake
    fake.stop()
