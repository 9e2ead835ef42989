"""``bpf:FILE.bpf.c`` or ``bpf:FILE.bpf.o``: a user's own congestion controller in the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import spawn
from agent.ebpf import bpffs, loader
from agent.ebpf.user_controller import UserController, check, read_object
from agent.errors import AgentError
from testbed.errors import UserError

if TYPE_CHECKING:
    from testbed.network import Network
    from testbed.system.netns import NetNs
    from testbed.system.scope import Scope
    from testbed.traffic.planned import PlannedFlow


class BpfController:
    """Registered anew for each cell, under a name of the cell's own, and gone with it."""

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self._file = file
        self._object = b""
        self._registered: UserController | None = None

    def check(self) -> None:
        """See CongestionController. Compiles the file; as root, asks the kernel's verifier too."""
        try:
            self._object = read_object(self._file)
            if loader.capable():
                check(self._object, self._file)
        except AgentError as error:
            raise UserError(f"cc bpf:{error}") from error

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """Nothing outlives a cell."""

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """See CongestionController."""
        cc_name = spawn.new_cc_name()
        pins = bpffs.ROOT / f"tbtest-{cc_name}"
        cell.record("pin", str(pins))
        try:
            self._registered = UserController(self._object, cc_name, self._file, pins)
        except AgentError as error:
            raise UserError(f"cc bpf:{error}") from error
        cell.callback(self._registered.close)
        return cc_name

    def begin(self, start_ns: int, network: Network, flows: Sequence[PlannedFlow]) -> None:
        """It sees what the kernel sees."""

    def check_running(self) -> None:
        """It runs in the kernel."""

    def detach(self, log_dir: Path) -> dict[str, Any] | None:
        """Nothing to say; the cell's end unregisters it."""
        return None
