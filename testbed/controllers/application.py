"""``app:NAME``: the congestion controller is the application's own, as QUIC's and WebRTC's are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.traffic.registry import PROGRAMS

if TYPE_CHECKING:
    from testbed.network import Network
    from testbed.system.netns import NetNs
    from testbed.system.scope import Scope
    from testbed.traffic.planned import PlannedFlow


class ApplicationController:
    """A name that a command line takes as {cc}; the testbed sets nothing."""

    def __init__(self, name: str, rest: str, flow: str) -> None:
        """``name`` is ``app:rest``; ``flow`` the traffic kind of the measured flows."""
        self.name = name
        self._rest = rest
        self._flow = flow

    def check(self) -> None:
        """See CongestionController."""
        if not 0 < len(self._rest) < 16:
            raise UserError(f"cc {self.name!r}: write it as app:NAME, with 1 to 15 characters")
        if self._flow not in PROGRAMS:
            raise UserError(
                f"cc {self.name!r}: only programs bring a controller of their own; use --flow "
                f"command or call, not {self._flow}"
            )

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """Nothing to start."""

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """See CongestionController."""
        return self._rest

    def begin(self, start_ns: int, network: Network, flows: Sequence[PlannedFlow]) -> None:
        """The application looks for itself."""

    def check_running(self) -> None:
        """Its programs are watched as the flows they are."""

    def detach(self, log_dir: Path) -> dict[str, Any] | None:
        """Nothing to say."""
        return None
