"""What a flow is, and what a traffic kind must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy.python import python_command
from settings import first_mistake
from testbed.errors import UserError
from testbed.ports import RECEIVER_PORT, SENDER_PORT


class Options(BaseModel):
    """Base of every kind's options: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    joint: ClassVar[bool] = False
    """Whether all measured flows of a cell are one application, so that none can be of this kind
    alone, and data goes both ways.
    """

    def asked(self) -> dict[str, str]:
        """What the flow asks of the run's policy server: the server's setting (abr, schedulers),
        and a policy's name there.
        """
        return {}

    def check(self) -> None:
        """Raises UserError if this machine lacks something that traffic of these options needs."""


class FlowSpec(BaseModel):
    """One flow, as both its processes are told it (JSON)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow: int = Field(ge=0, le=999)
    measured_flows: int = Field(1, ge=1, le=999)
    """Of the cell, for kinds that are one application together."""
    kind: str
    tcp_congestion: str = Field(min_length=1, max_length=15)
    sender_address: str
    receiver_address: str
    seed: int = Field(ge=0)
    duration_ns: int = Field(0, ge=0)  # planned; the interval that begins the flow counts
    options: dict[str, Any]
    log_dir: Path
    policy_server: str = ""
    """Address of the run's policy server, for kinds whose options ask for it."""

    @property
    def sender_port(self) -> int:
        """Local port of the sender."""
        return SENDER_PORT + self.flow

    @property
    def receiver_port(self) -> int:
        """Port the receiver listens on."""
        return RECEIVER_PORT + self.flow


class TrafficKind(Protocol):
    """A kind of traffic: a module with ``python -m <module> sender|receiver CONFIG.json``."""

    name: str
    module: str
    options_model: type[Options]

    def finish(self, spec: FlowSpec) -> list[str] | None:
        """After both ends have ended: bring their logs into the schema of the run folder.

        Returns sentences that say why the flow's figures are doubtful, if they are.
        """


def parse_options(found: TrafficKind, options: Mapping[str, Any]) -> Options:
    """``options`` of the kind, validated. Raises UserError naming key and value."""
    try:
        return found.options_model.model_validate(dict(options))
    except ValidationError as error:
        mistake = first_mistake(error, found.options_model, what="option")
        raise UserError(f"{found.name} traffic: {mistake}") from error


def argv(found: TrafficKind, role: str, config: Path) -> list[str]:
    """The command of one end; ``role`` is sender or receiver."""
    return python_command(found.module, role, config)
