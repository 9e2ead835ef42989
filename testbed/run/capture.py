"""Packet captures at both ends of the bottleneck, in the data direction, by tcpdump."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

from testbed.errors import UserError
from testbed.network import Network
from testbed.system.process import Process
from testbed.system.scope import Scope

_START_TIMEOUT_S = 10.0
_BLOCK_TIMEOUT_S = 1.5  # tcpdump asks for 1 s
# Headers suffice: Ethernet, IP and TCP with options.
_SNAP_BYTES = 128


class Capture:
    """ingress.pcap (entering the bottleneck) and egress.pcap (leaving it) in the cell's folder."""

    def __init__(self, processes: list[Process]) -> None:
        self._processes = processes

    @classmethod
    def start(cls, cell: Scope, network: Network, folder: Path) -> Self:
        """Begin capturing; returns once both captures run. Raises UserError."""
        bottleneck = next(link for link in network.links.values() if link.bottleneck)
        ends = (
            ("ingress", bottleneck.a, "out"),
            ("egress", bottleneck.b, "in"),
        )
        processes = []
        for name, end, direction in ends:
            command = [
                "tcpdump",
                "-i",
                end.ifname,
                "-Q",
                direction,
                "-s",
                str(_SNAP_BYTES),
                "-n",
                "-U",
            ]
            command += ["--time-stamp-precision=nano", "-B", "16384", "-Z", "root"]
            command += ["-w", str(folder / f"{name}.pcap"), "ip or ip6"]
            processes.append(cell.spawn(command, name=f"tcpdump-{name}", netns=end.netns))
        for name, _, _ in ends:
            _await_file(folder / f"{name}.pcap", processes)
        return cls(processes)

    def stop(self) -> None:
        """End both, after the traffic has. tcpdump discards what lies in a block of the kernel's
        ring that is not full yet; the kernel hands such a block over after a second (packet_mmap,
        TPACKET_V3), so wait for that."""
        time.sleep(_BLOCK_TIMEOUT_S)
        for process in self._processes:
            process.stop()


def _await_file(path: Path, processes: list[Process]) -> None:
    """tcpdump writes the file's header once it captures."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not path.exists() or path.stat().st_size == 0:
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            raise UserError(
                f"{path.name}: tcpdump did not start; is the package tcpdump installed?"
            )
        time.sleep(0.02)
