"""Options of command traffic."""

from __future__ import annotations

import shutil
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from testbed.errors import UserError
from testbed.traffic.base import FlowSpec, Options
from testbed.traffic.command.template import fill, words
from testbed.units import NS_PER_S

_LINE = "line:"
Words = Annotated[tuple[str, ...], BeforeValidator(words)]


class CommandOptions(Options):
    """Both command lines, and how the receiver's readiness is seen."""

    sender: Words = Field(description="command line of the sender, started at the flow's start")
    receiver: Words = Field(description="command line of the receiver, started before it")
    ready: str = Field(
        "port",
        description="the receiver is ready when it is bound to {port} (port), when its output "
        "holds a text (line:TEXT), or once it runs (started)",
    )
    ready_timeout_s: float = Field(
        10.0, gt=0, le=25, description="how long the receiver may take to be ready, s"
    )
    grace_s: float = Field(
        2.0, ge=0, le=10, description="after the flow's stop, until a program is ended, s"
    )

    @field_validator("ready")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("port", "started") and not value.removeprefix(_LINE) != value:
            raise ValueError(f"{value!r} is none of port, started and line:TEXT")
        if value == _LINE:
            raise ValueError("line: without a text is in every output; write line:TEXT")
        return value

    @property
    def ready_text(self) -> bytes | None:
        """The text to look for in the output; None where readiness is seen otherwise."""
        return self.ready[len(_LINE) :].encode() if self.ready.startswith(_LINE) else None

    def check(self) -> None:
        """See Options."""
        for role in ("sender", "receiver"):
            program = getattr(self, role)[0]
            if "{" not in program and shutil.which(program) is None:
                raise UserError(
                    f"command traffic: {role}: there is no program {program!r} here; install it, "
                    "or give its path"
                )

    def argv(self, role: str, spec: FlowSpec, duration_ns: int) -> list[str]:
        """The command line of one end, filled in."""
        values = {
            "sender": spec.sender_address,
            "receiver": spec.receiver_address,
            "port": str(spec.receiver_port),
            "sender_port": str(spec.sender_port),
            "duration": f"{duration_ns / NS_PER_S:.10g}",
            "log_dir": str(spec.log_dir),
            "flow": str(spec.flow),
            "seed": str(spec.seed),
            "cc": spec.tcp_congestion,
        }
        return fill(getattr(self, role), values)
