"""Congestion controllers by the names that ``--cc`` takes.

The kernel's own are chosen per socket; ``policy[:tier]`` is the eBPF datapath driven by the agent
and a policy server.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from testbed.controllers.registry import nearest, parse
from testbed.errors import UserError

if TYPE_CHECKING:
    from testbed.controllers.asked import Asked
    from testbed.controllers.server import SharedServer
    from testbed.network import Network
    from testbed.system.netns import NetNs
    from testbed.system.scope import Scope
    from testbed.traffic.planned import PlannedFlow


class CongestionController(Protocol):
    """What a run needs of a controller."""

    name: str

    def check(self) -> None:
        """Raises UserError, with the remedy, if it cannot run on this machine. Changes nothing."""

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """Once per run, before the first cell: what outlives cells (the policy server)."""

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """Once per cell: what lives as long as it (the agent). Returns the TCP_CONGESTION name for
        the sockets.
        """

    def begin(self, start_ns: int, network: Network, flows: Sequence[PlannedFlow]) -> None:
        """Once per cell, when the traces' time zero is known and still ahead: what an oracle needs
        to know.

        Raises UserError if it cannot use it.
        """

    def check_running(self) -> None:
        """All through the traffic: raises ProcessFailed if a process has ended without which this
        controller is not what it is called.
        """

    def detach(self, log_dir: Path) -> dict[str, Any] | None:
        """Once per cell, after the traffic: end what ``attach`` started; what it has to say for
        cell.json.
        """


def available_in_kernel() -> list[str]:
    """Controllers loaded into this kernel, as it lists them."""
    listed = (
        Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
        .read_text(encoding="ascii")
        .split()
    )
    return [
        name for name in listed if not re.fullmatch(r"tb[0-9a-f]{6}", name)
    ]  # agents' own, see agent/spawn.py


def can_select(name: str) -> bool:
    """Whether a socket takes ``name``; the kernel loads the module if it has one, and the choice is
    read back.

    A user who is not root, whom the kernel refuses those that it does not offer to everyone, is
    told whether the kernel has it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except PermissionError:
            return True
        except OSError:
            return False
        answer = probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        return answer.rstrip(b"\0").decode() == name


class KernelController:
    """A congestion controller that the kernel brings."""

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self) -> None:
        """See CongestionController."""
        if not 0 < len(self.name) < 16 or not self.name.isascii() or not can_select(self.name):
            raise UserError(
                f"cc {self.name!r}: this kernel does not offer it; "
                f"{nearest(self.name, available_in_kernel())} (`tbtest policies` lists them; a "
                f"module may need `modprobe tcp_{self.name}`)"
            )

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """Nothing to start."""

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """See CongestionController."""
        return self.name

    def begin(self, start_ns: int, network: Network, flows: Sequence[PlannedFlow]) -> None:
        """It looks for itself."""

    def check_running(self) -> None:
        """The kernel's own needs no process."""

    def detach(self, log_dir: Path) -> dict[str, Any] | None:
        """Nothing to say."""
        return None


def controllers(scenario: Asked, server: SharedServer) -> dict[str, CongestionController]:
    """The scenario's controllers by name, policies with the server they ask; not checked yet."""
    from testbed.controllers import application, bpf
    from testbed.controllers import policy as policy_cc

    made: dict[str, CongestionController] = dict(
        policy_cc.controllers(scenario.cc, scenario, server)
    )
    for name in scenario.cc:
        controller = parse(name)
        if controller.kind == "bpf":
            made[name] = bpf.BpfController(name, Path(controller.rest))
        elif controller.kind == "app":
            made[name] = application.ApplicationController(name, controller.rest, scenario.flow)
        elif controller.kind == "kernel":
            made[name] = KernelController(name)
    return {name: made[name] for name in scenario.cc}
