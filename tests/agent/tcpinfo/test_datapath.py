"""The portable tier: snapshots into records, and a real agent on sockets of another process, with
faults.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from agent.layout import Flag, Kind, delivery_rate_bps
from agent.tcpinfo import borrow
from agent.tcpinfo.datapath import Flow
from agent.tcpinfo.snapshots import TCP_INFO, snapshot_records

SENDER = """
import socket, sys
sock = socket.socket()
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, sys.argv[1].encode())
sock.bind((sys.argv[2], 40000))
sock.connect((sys.argv[3], 5000))
try:
    while True:
        sock.sendall(bytes(65536))
except OSError:
    pass
"""


def test_snapshots_become_records():
    info = np.zeros(2, TCP_INFO)
    info["state"], info["mss_bytes"], info["srtt_us"] = 1, 1448, [20_000, 0]
    info["unacked"], info["sacked"], info["lost"], info["retrans"] = [10, 1], [2, 5], [1, 0], [3, 0]
    info["delivery_rate_Bps"], info["delivered_packets"] = [2_500_000, 0], [100, 0]
    info["retransmitted_bytes"], info["app_limited"] = (
        [2896, 0],
        [1, 6],
    )  # other bits of that byte are Fast Open's
    records = snapshot_records(info, np.array([4, 5]), np.array([1, 2]), 77)
    assert records["at_ns"].tolist() == [77, 77]
    assert (records["kind"] == Kind.ACK).all()
    assert records["rtt_us"].tolist() == [20_000, -1]
    assert records["inflight_packets"].tolist() == [10, 0]  # 10 - 2 - 1 + 3; never negative
    assert records["delivered_bytes"].tolist() == [144_800, 0]
    assert records["lost_bytes"].tolist() == [2896, 0]
    assert records["flags"].tolist() == [Flag.APP_LIMITED, 0]
    rates = delivery_rate_bps(records)
    assert rates[0] == pytest.approx(20e6, rel=1e-5)
    assert np.isnan(rates[1])


def test_the_first_record_after_a_windows_end_says_so():
    flow = Flow(borrow.SocketName(1, 2, 3), generation=1, open_ns=1000)
    closes = [flow.flags(now_ns, window_ns=100) for now_ns in (1000, 1099, 1100, 1101, 1350, 1399)]
    assert closes == [0, 0, Flag.CLOSES_WINDOW, 0, Flag.CLOSES_WINDOW, 0]
    flow.capped = True
    assert flow.flags(1400, 100) == Flag.CLOSES_WINDOW | Flag.COMMANDED


def test_socket_names_survive_the_pipe_to_the_guard():
    name = borrow.SocketName(12, 3, 456)
    assert borrow.SocketName.parse(name.text()) == name


@pytest.fixture
def transfer(network):
    """A bulk sender as a process of its own, in the left host's namespace, and its receiver
    here.
    """
    listener = network.right.socket()
    listener.bind((network.right.address, 5000))
    listener.listen(1)
    senders = []

    def start(cc):
        sender = network.left.inside(
            lambda: subprocess.Popen(
                [sys.executable, "-c", SENDER, cc, network.left.address, network.right.address]
            )
        )
        senders.append(sender)
        receiver, _ = listener.accept()
        receiver.setblocking(False)
        return sender, receiver

    yield start
    for sender in senders:
        sender.kill()
        sender.wait()
    listener.close()


def rate_bps(receiver, seconds):
    end, total = time.monotonic() + seconds, 0
    started = time.monotonic()
    while time.monotonic() < end:
        try:
            total += len(receiver.recv(1 << 18))
        except BlockingIOError:
            time.sleep(0.001)
    return 8 * total / (time.monotonic() - started)


def pacing_cap(sender):
    """SO_MAX_PACING_RATE of the sender's socket, bytes per second; None where there is no cap."""
    (name,) = [name for name in borrow.find((40000, 40001), ()) if name.pid == sender.pid]
    with borrow.borrowed(name) as sock:
        rate = struct.unpack(
            "=Q", sock.getsockopt(socket.SOL_SOCKET, borrow.SO_MAX_PACING_RATE, 8)
        )[0]
    return None if rate == borrow.UNLIMITED else rate


@pytest.fixture
def capped(network, start_agent, server, transfer, wait_for):
    """An agent, and a sender whose rate it has capped; what the receiver gets is thrown away
    meanwhile.
    """
    agent = start_agent(
        tier="portable", kernel="aimd", server=server.address, netns_cookies=[network.left.cookie]
    )
    sender, receiver = transfer(agent.cc)
    ended = threading.Event()

    def drain():
        while not ended.is_set():
            rate_bps(receiver, 0.05)

    drainer = threading.Thread(target=drain)
    drainer.start()
    wait_for(lambda: pacing_cap(sender) == 10**6, "cap")
    yield agent, sender
    ended.set()
    drainer.join()
    receiver.close()


@pytest.mark.root
def test_a_killed_agents_cap_is_set_back(capped, wait_for):
    agent, sender = capped
    agent.kill()
    wait_for(lambda: pacing_cap(sender) is None, "end of the cap")


@pytest.mark.root
def test_a_frozen_agents_cap_is_set_back_until_it_goes_on(capped, wait_for):
    agent, sender = capped
    os.kill(agent.process.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: pacing_cap(sender) is None, "end of the cap")
    finally:
        os.kill(agent.process.pid, signal.SIGCONT)
    wait_for(lambda: pacing_cap(sender) == 10**6, "new cap")


@pytest.mark.root
def test_the_local_policy_caps_while_the_server_is_frozen_or_gone(capped, server, wait_for):
    agent, sender = capped
    server.mute = True
    wait_for(lambda: pacing_cap(sender) not in (None, 10**6), "cap of the local policy", 60.0)
    server.mute = False
    wait_for(lambda: pacing_cap(sender) == 10**6, "the server's cap", 60.0)
    server.stop()
    wait_for(lambda: agent.said("server-lost"), "end of the stream", 60.0)
    wait_for(lambda: pacing_cap(sender) not in (None, 10**6), "cap of the local policy", 60.0)
    server.start()
    wait_for(lambda: pacing_cap(sender) == 10**6, "the server's cap", 60.0)
    agent.stop()
    assert pacing_cap(sender) is None
    events = agent.table("events")["event"].tolist()
    streams = [event for event in events if event in ("server-connected", "server-lost")]
    # A busy machine may lose the stream once more.
    assert streams[:2] == ["server-connected", "server-lost"]
    assert streams[-1] == "server-connected"
    assert events.index("server-silent") < events.index("server-answers")


@pytest.mark.root
def test_rate_is_capped_and_the_guard_lifts_the_cap_of_a_killed_agent(
    network, start_agent, server, transfer, wait_for
):
    def settles(capped_bps):
        wait_for(lambda: rate_bps(receiver, 0.5) == pytest.approx(capped_bps, rel=0.1), "cap", 60.0)

    agent = start_agent(
        tier="portable", kernel="aimd", server=server.address, netns_cookies=[network.left.cookie]
    )
    sender, receiver = transfer(agent.cc)
    with receiver:
        settles(8e6)
        agent.kill()
        wait_for(lambda: rate_bps(receiver, 0.5) > 12e6, "end of the cap", 60.0)
        again = start_agent(again=agent)
        settles(8e6)
        sender.kill()
        time.sleep(0.2)
        again.stop()
    assert again.summary()["tier"] == "portable"
    acks = again.table("acks")
    assert set(acks["flow"]) == {0}
    assert acks["acked_bytes"].is_monotonic_increasing
    assert list(again.table("events")["event"]).count("close") == 1


@pytest.mark.root
def test_a_senders_close_is_not_delayed_by_borrowing(network, start_agent, transfer):
    agent = start_agent(
        tier="portable", kernel="cubic", mode="observe", netns_cookies=[network.left.cookie]
    )
    sender, receiver = transfer(agent.cc)
    with receiver:
        rate_bps(receiver, 0.3)
        sender.kill()
        receiver.setblocking(True)
        receiver.settimeout(2.0)
        while receiver.recv(
            1 << 18
        ):  # until the end of the stream, which a held duplicate would keep away
            pass
