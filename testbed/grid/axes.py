"""The axes of a grid, as YAML says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from settings import first_mistake
from testbed.controllers.registry import full_names
from testbed.errors import UserError
from testbed.parts import CrossTraffic
from testbed.quantities import BufferSize, DurationNs, Loss, RateBps


class Strict(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True
    )


class Generated(Strict):
    """Traces of one generator, one per seed; each is a source trace of its own."""

    generate: str = Field(description="a generator of `tbtest traces generate`")
    seeds: tuple[int, ...] = Field(min_length=1)
    duration_ns: DurationNs = Field(default=60 * 10**9, alias="duration")
    parameters: dict[str, Any] = Field(default_factory=dict)
    name: str | None = Field(
        default=None, description="family, and start of the names; default: the generator's name"
    )


class Traffic(Strict):
    """What runs over the bottleneck."""

    flow: str = "bulk"
    flows: int = Field(default=1, ge=1, le=64)
    flow_options: dict[str, Any] = Field(default_factory=dict)
    loss: Loss = None
    cross_traffic: tuple[CrossTraffic, ...] = ()


class Splits(Strict):
    """Shares drawn within each family, or patterns of trace names; what neither takes is for
    training.
    """

    validation: float | tuple[str, ...] = 0.15
    test: float | tuple[str, ...] = 0.15

    @model_validator(mode="after")
    def _of_one_kind(self) -> Splits:
        if isinstance(self.validation, tuple) != isinstance(self.test, tuple):
            raise ValueError(
                "give shares for both validation and test, or patterns for both ([]: no trace)"
            )
        return self


class Axes(Strict):
    """What every grid says: traces, round trips, buffers and traffic to combine."""

    traces: tuple[str | Generated, ...] = Field(min_length=1)
    rtt_ns: tuple[DurationNs, ...] = Field(alias="rtt", min_length=1)
    buffer: tuple[BufferSize, ...] = Field(min_length=1)
    traffic: tuple[Traffic, ...] = Field(min_length=1)
    topology: str = "dumbbell"
    topology_options: dict[str, Any] = Field(default_factory=dict)
    duration_ns: DurationNs = Field(default=30 * 10**9, alias="duration")
    per_trace: int | None = Field(
        default=None, ge=1, description="combinations drawn for each trace; null: all of them"
    )
    max_mean_rate_bps: RateBps | None = Field(
        default=50e6,
        alias="max_mean_rate",
        description="faster traces are scaled down to it; null: none",
    )
    seed: int = Field(default=1, ge=0, lt=2**31, description="of what is drawn")


A = TypeVar("A", bound=Strict)


def make_axes(kind: type[A], data: Mapping[str, Any], source: str) -> A:
    """The grid of this kind that `data` says. Raises UserError naming source and key."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: {first_mistake(error, kind)}") from error


def known_names(names: Sequence[str]) -> tuple[str, ...]:
    """Full names of congestion controllers, for validators. Raises ValueError."""
    try:
        return full_names(names)
    except UserError as error:
        raise ValueError(str(error)) from error
