"""Run in a guest by test_datapath.py, which says what to command and how much to send: an agent's
datapath over the kernel's modules, and flows over the loopback interface. Writes what it found.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from agent import datapath as datapaths
from agent.config import AgentConfig
from agent.ebpf import module
from agent.ebpf.module import Device
from agent.errors import AgentError
from agent.layout import Flag, Kind
from testbed.traffic import tcpinfo
from testbed.virtual import modules
from testbed.virtual.job import FOLDER, RESULTS

NAME = "tbguest"
_CLONE_NEWNET, _SO_NETNS_COOKIE, _POWER_OFF = 0x40000000, 71, 0x4321FEDC


class Flow:
    """A connection whose sender is under the controller."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.sender = socket.socket()
            self.sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, NAME.encode())
            self.sender.connect(listener.getsockname())
            self.receiver, _ = listener.accept()

    def send(self, size_bytes: int) -> None:
        """Returns when all has arrived."""
        sending = threading.Thread(target=self.sender.sendall, args=(bytes(size_bytes),))
        sending.start()
        while size_bytes:
            size_bytes -= len(self.receiver.recv(1 << 16))
        sending.join()
        time.sleep(0.1)  # the last acknowledgement

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()
        time.sleep(0.1)


def in_another_namespace() -> None:
    """A flow under the same name, of nobody's namespace."""

    def run() -> None:
        assert ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        flow = Flow()
        flow.send(10_000)
        flow.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def refusal(config: AgentConfig) -> str:
    """What a second agent of the name is told."""
    try:
        datapaths.choose(config)
    except AgentError as error:
        return str(error)
    return ""


def taken_over() -> dict[str, Any]:
    """An agent that dies, its successor, and a third, which dies too."""
    os.close(Device("aimd", "tbaimd", 4, 4096).ring_fd)
    second = Device("aimd", "tbaimd", 8, 8192)
    found = {"adopted": second.adopted, "slots": len(second.flows), "ring": second.ring_bytes}
    second.remove()
    third = Device("aimd", "tbaimd", 8, 8192)
    found["afresh"] = not third.adopted
    os.close(third.ring_fd)
    del third
    module.clean("tbaimd")
    return found


def look(cwnd_packets: int, rate_bps: int, sent_bytes: int) -> dict[str, Any]:
    """Everything that the test asks."""
    with socket.socket() as probe:
        raw = probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    config = AgentConfig(
        cc_name=NAME,
        log_dir=Path(tempfile.gettempdir()),
        netns_cookies=struct.unpack("=Q", raw),
        slots=2,
        ring_bytes=1 << 16,
    )
    datapath, _ = datapaths.choose(config)
    found: dict[str, Any] = {"name": datapath.name, "kernel": datapath.kernel}
    flow = Flow()
    (opened,) = datapath.poll(time.monotonic_ns())
    found["opened"] = [int(opened["kind"]), int(opened["slot"])]
    slot, generation = np.array([opened["slot"]]), np.array([opened["generation"]])
    datapath.command(slot, generation, np.array([float(rate_bps)]), np.array([float(cwnd_packets)]))
    flow.send(sent_bytes)
    records = datapath.poll(time.monotonic_ns())
    acks = records[records["kind"] == Kind.ACK]
    commanded = acks[acks["flags"] & Flag.COMMANDED > 0]
    found["acks"], found["commanded"] = len(acks), len(commanded)
    found["cwnds"] = np.unique(commanded["cwnd_packets"]).tolist()
    found["rates_bps"] = np.unique(commanded["pacing_rate_Bps"] * 8).tolist()
    found["in_order"] = bool((np.diff(records["at_ns"].astype(np.int64)) >= 0).all())
    found["acked_bytes"] = int(acks["acked_bytes"][-1])
    found["socket_cwnd"] = tcpinfo.read(flow.sender).cwnd_packets

    in_another_namespace()
    found["of_strangers"] = len(datapath.poll(time.monotonic_ns()))
    found["refused"] = datapath.refused()

    time.sleep(config.stale_ns / 1e9 + 0.05)
    flow.send(10_000)
    silent = datapath.poll(time.monotonic_ns())
    found["after_silence"] = np.unique(silent["flags"] & Flag.COMMANDED).tolist()

    found["second_agent"] = refusal(config)
    survivor = Flow()
    flow.close()
    found["closed"] = int(datapath.poll(time.monotonic_ns())[-1]["kind"])
    datapath.close()
    survivor.send(10_000)
    survivor.close()
    try:
        Flow()
    except OSError as error:
        found["after_close"] = error.errno
    found["takeover"] = taken_over()
    return found


if __name__ == "__main__":
    modules.load(FOLDER)
    (RESULTS / "found.json").write_text(json.dumps(look(*map(int, sys.argv[1:]))))
    os.sync()
    ctypes.CDLL(None).reboot(_POWER_OFF)
