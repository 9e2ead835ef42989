"""What `bench.agent` measures on: two hosts, senders on a shaped link, an agent, and a server that
answers at once.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.config import AgentConfig

LEFT, RIGHT = "10.9.0.1", "10.9.0.2"
SENDER = """
import socket, sys
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, sys.argv[1].encode())
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, int(sys.argv[3]))
s.bind(("10.9.0.1", int(sys.argv[2]))); s.connect(("10.9.0.2", 5000)); data = bytes(65536)
while True: s.sendall(data)
"""
RECEIVER = """
import socket, threading
def drain(c):
    while c.recv(1 << 18): pass
l = socket.socket(); l.bind(("10.9.0.2", 5000)); l.listen(64); print(flush=True)
while True: threading.Thread(target=drain, args=l.accept()[:1], daemon=True).start()
"""
SERVER = """
import sys, numpy as np, grpc
from concurrent import futures
from policy.protocol import policy_pb2 as pb, policy_pb2_grpc as rpc
class Fixed(rpc.PolicyServicer):
    def Decide(self, requests, context):
        next(requests)
        welcome = pb.Welcome(version=1, policy="fixed", max_flows=1024, max_records=65536)
        yield pb.ServerMessage(welcome=welcome)
        for n, message in enumerate(requests):
            w = message.state.windows
            count = len(w.flow) // 4
            if count:
                rate = np.full(count, float(sys.argv[2]))
                decisions = pb.DecisionBatch(
                    tier="fixed", flow=w.flow, generation=w.generation, window=w.window,
                    pacing_rate_bps=rate.tobytes(),
                    cwnd_packets=np.full(count, 1000.0).tobytes(),
                    queue_ns=np.zeros(count, "i8").tobytes(), reasons=bytes(count),
                )
                yield pb.ServerMessage(decisions=decisions)
server = grpc.server(futures.ThreadPoolExecutor(2))
rpc.add_PolicyServicer_to_server(Fixed(), server)
server.add_insecure_port(sys.argv[1])
server.start()
print(flush=True)
server.wait_for_termination()
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def link(rate_mbps: int | None) -> Iterator[tuple[str, str]]:
    """Two namespaces on a veth pair; the way from the first is shaped to `rate_mbps`, if given."""
    names = [f"tbbench-{os.getpid()}-{side}" for side in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip(
            "-n",
            names[0],
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            names[1],
        )
        for name, address in zip(names, (LEFT, RIGHT), strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            setup = (
                "ethtool -K eth0 tso off gso off gro off; echo 0 > "
                "/proc/sys/net/ipv4/tcp_tso_rtt_log"
            )
            ip("netns", "exec", name, "sh", "-c", setup)
        # An ACK for every segment: the most that a rate can bring.
        ip(
            "-n",
            names[1],
            "route",
            "replace",
            "10.9.0.0/24",
            "dev",
            "eth0",
            "src",
            RIGHT,
            "quickack",
            "1",
        )
        if rate_mbps:
            shape = ["root", "tbf", "rate", f"{rate_mbps}mbit", "burst", "6400", "limit", "100000"]
            subprocess.run(
                ["tc", "-n", names[0], "qdisc", "add", "dev", "eth0", *shape], check=True
            )
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@contextlib.contextmanager
def python(
    code: str, *arguments: str, netns: str | None = None, wait: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """A Python process, optionally in a namespace; `wait`: until its first line."""
    enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
    process = subprocess.Popen(
        [*enter, sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        if wait:
            process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def traffic(cc: str, rate_mbps: int | None, flows: int = 1, mss: int = 1448) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        left, right = stack.enter_context(link(rate_mbps))
        stack.enter_context(python(RECEIVER, netns=right))
        for flow in range(flows):
            stack.enter_context(
                python(SENDER, cc, str(40000 + flow), str(mss), netns=left, wait=False)
            )
        yield


def percentiles(values_ns: npt.NDArray[Any], scale: float, unit: str) -> str:
    low, mid, high = np.percentile(values_ns / scale, [50, 90, 99])
    return f"p50 {low:.3g} {unit}, p90 {mid:.3g} {unit}, p99 {high:.3g} {unit} (n={len(values_ns)})"


def prepared(name: str, folder: Path, **settings: Any) -> AgentConfig:
    return AgentConfig.model_validate({"cc_name": name, "log_dir": folder / name, **settings})


@contextlib.contextmanager
def agent_process(config: AgentConfig) -> Iterator[subprocess.Popen[str]]:
    path = config.log_dir.with_suffix(".json")
    path.write_text(config.model_dump_json())
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        process.stdout.readline()
        yield process
    finally:
        process.terminate()
        process.wait()
