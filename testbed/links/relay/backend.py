"""The `relay` backend: a small C program between two TUN devices (testbed/links/relay/)."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from testbed.errors import UserError
from testbed.links import interfaces
from testbed.links.base import (
    FORWARD,
    REVERSE,
    Attachment,
    DirectionSample,
    Link,
    LinkRecord,
    LinkSample,
    LinkSpec,
)
from testbed.links.measure import judge
from testbed.links.relay.log import read_log
from testbed.links.relay.spec import write_spec

if TYPE_CHECKING:
    from testbed.system.scope import Scope

PROGRAM = Path(__file__).with_name("tbtest-relay")
READY_TIMEOUT_S = 20.0

# struct counters of relay/counters.h
_PER_DIRECTION = 8
_TOTALS = ("cpu_ns", "lost_records", "refused", "write_errors", "scheduling")
_COUNTERS = 2 * _PER_DIRECTION + len(_TOTALS)
_SCHEDULING = ("SCHED_OTHER", "SCHED_FIFO", "in the kernel")  # enum scheduling


class RelayBackend:
    """Links by the user-space relay: exact on any kernel that has TUN."""

    name = "relay"

    def unavailable(self) -> str | None:
        if os.geteuid() != 0:
            return "needs root; run with sudo."
        if not (interfaces.KERNEL_RELAY.exists() or Path("/dev/net/tun").exists()):
            return "/dev/net/tun is missing; try 'modprobe tun'."
        if not PROGRAM.exists():
            return f"the relay is not compiled; run 'make -C {PROGRAM.parent}'."
        return None

    def open(
        self, scope: Scope, spec: LinkSpec, a: Attachment, b: Attachment, log_dir: Path
    ) -> Link:
        return RelayLink(scope, spec, a, b, log_dir)


class RelayLink:
    """A running relay. The interfaces live as long as its process."""

    def __init__(
        self, scope: Scope, spec: LinkSpec, a: Attachment, b: Attachment, log_dir: Path
    ) -> None:
        self._spec, self._ends = spec, (a, b)
        self._zero_ns: int | None = None
        self._packet_log = log_dir.resolve() / f"link-{spec.name}.packets"
        spec_path = scope.tmp / f"link-{spec.name}.spec"
        write_spec(spec_path, spec, self._packet_log)
        scope.record("log", str(self._packet_log))
        inherited: list[int] = []
        try:
            inherited += [interfaces.open_end(end) for end in self._ends]
            counters_fd = os.memfd_create("tbtest-counters")
            inherited.append(counters_fd)
            os.ftruncate(counters_fd, _COUNTERS * 8)
            self._page = mmap.mmap(counters_fd, _COUNTERS * 8)
            self._environment = {end.ifname: interfaces.describe(end) for end in self._ends}
            self._process = scope.spawn(
                [str(PROGRAM), str(spec_path), *map(str, inherited)],
                name=f"link-{spec.name}",
                pass_fds=inherited,
            )
        finally:
            for fd in inherited:
                os.close(fd)
        self._process.read_line(READY_TIMEOUT_S)

    def start(self, start_ns: int) -> None:
        self._zero_ns = start_ns
        self._process.write_line(f"start {start_ns}")

    def sample(self) -> LinkSample:
        self._check_running()
        counters = self._counters()
        forward, reverse = (
            DirectionSample(*counters[base : base + 7]) for base in (0, _PER_DIRECTION)
        )
        return LinkSample(time.monotonic_ns(), forward, reverse)

    def stop(self) -> LinkRecord:
        self._check_running()
        unseen = sum(interfaces.interface_drops(end) for end in self._ends)  # gone with the process
        self._process.stop()
        self._process.check()
        packets = read_log(self._packet_log)
        self._packet_log.unlink()
        totals = dict(zip(_TOTALS, self._counters()[2 * _PER_DIRECTION :], strict=True))
        warnings = list(_doubts(totals, unseen))
        records = []
        for number, label, direction in (
            (FORWARD, "forward", self._spec.forward),
            (REVERSE, "reverse", self._spec.reverse),
        ):
            own = packets.filter(pc.equal(packets["link"], number))
            record, doubts = judge(own, direction.capacity, self._zero_ns)
            records.append(record)
            warnings += [f"{label}: {doubt}" for doubt in doubts]
        return LinkRecord(
            backend="relay",
            packets=packets,
            per_packet=True,
            forward=records[0],
            reverse=records[1],
            cpu_s=totals["cpu_ns"] / 1e9,
            warnings=tuple(warnings),
            environment={**self._environment, "relay": _SCHEDULING[totals["scheduling"]]},
        )

    def _counters(self) -> list[int]:
        return np.frombuffer(self._page, np.uint64).tolist()  # type: ignore[no-any-return]

    def _check_running(self) -> None:
        """Raises UserError if the relay has ended."""
        self._process.check()
        if self._process.poll() is not None:
            raise UserError(f"link {self._spec.name}: something has ended the relay")


def _doubts(totals: dict[str, int], unseen: int) -> Iterator[str]:
    """What makes the record incomplete or the emulation untrue."""
    if unseen:
        yield f"the relay could not keep up: {unseen} packets were lost before it saw them"
    if totals["refused"]:
        yield f"the relay ran out of packet memory: {totals['refused']} packets were lost"
    if totals["write_errors"]:
        yield f"the far interface refused {totals['write_errors']} packets"
    if totals["lost_records"]:
        yield f"the disk was too slow: {totals['lost_records']} packets are missing from the log"
