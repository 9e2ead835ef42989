"""From axes to runs: scenarios, ids and seeds that depend on a run's own settings alone."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from settings import first_mistake
from testbed.buffer import Buffer
from testbed.controllers.registry import ORACLE, parse
from testbed.errors import UserError
from testbed.grid.axes import Axes, Traffic
from testbed.scenario import Scenario
from testbed.traffic.abr import asked_by
from testbed.units import format_duration


class GridRun(BaseModel, ABC):
    """One run that a grid asks for; `scenario` is what `parse_scenario` reads."""

    model_config = ConfigDict(frozen=True)

    id: str
    scenario: dict[str, Any]

    @property
    @abstractmethod
    def trace(self) -> str:
        """Name of its source trace; empty where the scenario itself says the capacity."""

    @property
    def shares_server(self) -> bool:
        """Whether a policy server for many runs can answer it. The oracle knows its own run's
        trace, so it keeps its own server.
        """
        asked = [parse(name) for name in self.scenario["cc"]]
        policies = [name.rest for name in asked if name.kind == "policy"]
        return ORACLE not in policies and bool(policies or asked_by(self.scenario))


def scenario_of(
    axes: Axes, trace: str, rtt_ns: int, buffer: Buffer, traffic: Traffic, **more: Any
) -> Scenario:
    """The scenario of one combination. Raises UserError."""
    settings = {
        "topology": axes.topology,
        "topology_options": axes.topology_options,
        "trace": trace,
        "trace_start": "random",
        "rtt": format_duration(rtt_ns),
        "buffer": buffer,
        **{key: getattr(traffic, key) for key in Traffic.model_fields},
        "duration": format_duration(axes.duration_ns),
        **more,
    }
    try:
        return Scenario.model_validate(settings)
    except ValidationError as error:
        raise UserError(f"grid: {first_mistake(error, Scenario)}") from error


def digest(value: Any) -> str:
    """What tells settings from any others: SHA-256 of their JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def seed_of(digested: str) -> int:
    """A scenario's seed, below 2^28."""
    return int(digested[:7], 16)
