"""What a probe found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "limited", "missing"]


@dataclass(frozen=True)
class Finding:
    """One row. ``cost`` and ``remedy`` are said unless the state is "ok"."""

    name: str
    state: State
    detail: str
    cost: str = ""  # what missing it costs
    remedy: str = ""
    essential: bool = False  # `tbtest run --topology dumbbell` cannot do without

    @property
    def blocks(self) -> bool:
        """Whether the main job cannot run because of it."""
        return self.essential and self.state == "missing"


def verdict(
    name: str, present: bool, detail: str, *, cost: str, remedy: str, essential: bool = False
) -> Finding:
    """A finding with two states: ok or missing."""
    return Finding(name, "ok" if present else "missing", detail, cost, remedy, essential)
