"""What the tests on distribution kernels share. Rates are small: an emulated guest is ten times
slower.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from testbed.links.tc.probe import missing_features
from testbed.network import Network
from testbed.system.netns import NetNs
from testbed.system.scope import Scope

_MSS_SHARE = 1448 / 1500  # of an IP packet that is payload, with TCP timestamps


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("netem") and (missing := missing_features()):
        pytest.skip(f"this kernel lacks {', '.join(missing)}; make test-vm has it")
    if item.get_closest_marker("ovs") and (reason := _without_openvswitch()):
        pytest.skip(f"{reason}; make test-vm has it")


def _without_openvswitch() -> str | None:
    if shutil.which("ovs-vswitchd") is None:
        return "Open vSwitch is not installed (apt-get install openvswitch-switch)"
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "openvswitch"], check=False)
    return (
        None
        if Path("/sys/module/openvswitch").exists()
        else "this kernel has no openvswitch module"
    )


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    with Scope(state_dir=tmp_path / "state") as scope:
        yield scope


@dataclass(frozen=True)
class Carried:
    """What a bulk flow got. ``share``: of the rate that its IP packets could have had."""

    goodput_bps: float
    rtt_ms: float  # median of the kernel's smoothed RTT

    def share(self, rate_bps: float) -> float:
        return self.goodput_bps / (rate_bps * _MSS_SHARE)


Carry = Callable[..., Carried]


@pytest.fixture
def carry() -> Carry:
    """carry(sender, receiver, receiver's address, congestion control, seconds): a bulk TCP flow,
    measured after 2 s.

    ``window_bytes`` bounds what is in flight.
    """
    return _carry


def _carry(
    sender: NetNs,
    receiver: NetNs,
    address: str,
    cc: str,
    seconds: float,
    window_bytes: int | None = None,
) -> Carried:
    with receiver.inside():
        listener = socket.create_server((address, 5000))
    if window_bytes:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
    with sender.inside():
        source = socket.socket()
    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, cc.encode())
    source.settimeout(10)
    source.connect((address, 5000))
    sink, _ = listener.accept()
    received = 0

    def receive() -> None:
        nonlocal received
        while chunk := sink.recv(1 << 18):
            received += len(chunk)

    def send() -> None:
        data = bytes(16384)
        while not ended.is_set():
            try:
                source.send(data)
            except TimeoutError:  # an outage, or the end
                continue

    ended = threading.Event()
    source.settimeout(0.2)
    threads = [threading.Thread(target=receive), threading.Thread(target=send)]
    with listener, sink, source:
        for thread in threads:
            thread.start()
        time.sleep(2)
        before, begun, rtts_ms = received, time.monotonic(), []
        while (lasted := time.monotonic() - begun) < seconds:
            time.sleep(0.05)
            info = source.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            rtts_ms.append(struct.unpack_from("I", info, 68)[0] / 1000)  # tcpi_rtt, in us
        goodput_bps = 8 * (received - before) / lasted
        ended.set()
        threads[1].join()
        source.shutdown(socket.SHUT_WR)
        sink.shutdown(socket.SHUT_RD)  # what is still in the queue is not waited for
        threads[0].join()
    return Carried(goodput_bps, float(np.median(rtts_ms)))


@pytest.fixture
def carry_pair(carry: Carry) -> Carry:
    """carry() over a network's first pair, its links started."""

    def over(network: Network, cc: str, seconds: float, window_bytes: int | None = None) -> Carried:
        for link in network.links.values():
            link.link.start(time.monotonic_ns())
        pair = network.pairs[0]
        ends = pair.sender.netns, pair.receiver.netns, pair.receiver.address
        return carry(*ends, cc, seconds, window_bytes)

    return over
