"""Two namespaces with a link between them, and packets shot over it at a rate."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from testbed.links.base import Attachment, Direction, LinkBackend, LinkRecord, LinkSpec
from testbed.system.netns import NetNs
from testbed.system.scope import Scope

MS = 1_000_000
PACKET_BYTES = 1500
WARM_UP_NS = 500 * MS
"""Of link and source, before the trace begins; not measured."""


@dataclass(frozen=True)
class Shot:
    """One run over a link. Received packets, in order: when sent and received, int64[n]."""

    zero_ns: int
    duration_ns: int
    sent: int
    sent_ns: npt.NDArray[np.int64]
    received_ns: npt.NDArray[np.int64]
    record: LinkRecord
    steal: float

    @property
    def received_mbps(self) -> float:
        return len(self.received_ns) * PACKET_BYTES * 8e3 / self.duration_ns

    @property
    def cpu(self) -> float:
        """Share of one core used by the link's program."""
        return self.record.cpu_s * 1e9 / (self.duration_ns + WARM_UP_NS)


class Range:
    """Shoots packets over links between two namespaces."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._blast = scope.tmp / "blast"
        source = Path(__file__).with_name("blast.c")
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", self._blast, source], check=True)

    def shoot(
        self, backend: LinkBackend, forward: Direction, rate_bps: float, seconds: float
    ) -> Shot:
        """`rate_bps` of full-size packets for `seconds` from the trace's time zero on, and a little
        before it.
        """
        duration_ns = int(seconds * 1e9)
        with self._scope.child("shot") as scope:
            a, b = _namespace(scope, "a"), _namespace(scope, "b")
            ends = Attachment(a, "bench-a", "10.9.0.1/30"), Attachment(b, "bench-b", "10.9.0.2/30")
            link = backend.open(scope, LinkSpec("bench", forward, Direction()), *ends, scope.tmp)
            log = scope.tmp / "received"
            zero_ns = time.monotonic_ns() + WARM_UP_NS
            stop_ns = zero_ns + duration_ns
            link.start(zero_ns)
            receive = ["receive", "5000", str(log), str(stop_ns + 300 * MS + forward.delay_ns)]
            receiver = scope.spawn([str(self._blast), *receive], name="receiver", netns=b)
            receiver.read_line(5)
            first_ns = zero_ns - 200 * MS
            send = [
                "send",
                "10.9.0.2",
                "5000",
                str(PACKET_BYTES),
                str(rate_bps),
                str(first_ns),
                str(stop_ns),
            ]
            steal_before = _steal_s()
            sender = scope.spawn([str(self._blast), *send], name="sender", netns=a)
            sent = int(sender.read_line(seconds + 20))
            receiver.wait(20)
            steal = (_steal_s() - steal_before) / seconds
            _, sent_ns, received_ns, _ = np.fromfile(log, np.int64).reshape(-1, 4).T
            return Shot(zero_ns, duration_ns, sent, sent_ns, received_ns, link.stop(), steal)


def _namespace(scope: Scope, name: str) -> NetNs:
    holder = scope.spawn(
        ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"], name=name
    )
    holder.read_line(5)
    return scope.enter(NetNs.of(holder.pid))


def _steal_s() -> float:
    """Seconds that the hypervisor has kept from this machine's processors so far."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[8]) / 100
