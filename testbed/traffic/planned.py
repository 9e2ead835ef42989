"""A flow with its place in a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from testbed.network import Pair
from testbed.traffic.base import FlowSpec
from testbed.traffic.registry import PROGRAMS


@dataclass(frozen=True)
class PlannedFlow:
    """One flow on one pair. Times count from the cell's start."""

    spec: FlowSpec
    pair: Pair  # as this flow sees it: turned, if it runs against the topology's pair
    role: Literal["measured", "cross"]
    start_ns: int
    stop_ns: int

    @property
    def foreign(self) -> bool:
        """Whether programs carry it that choose ports and sockets themselves."""
        return self.spec.kind in PROGRAMS
