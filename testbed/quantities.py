"""Quantities of a scenario: people write them with units ("40ms"), fields hold internal units."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from testbed.buffer import Buffer
from testbed.errors import UserError
from testbed.links.impairments import Loss as LossModel
from testbed.links.impairments import Policer, Reorder
from testbed.loss import (
    format_loss,
    format_policer,
    format_reorder,
    parse_loss,
    parse_policer,
    parse_reorder,
)
from testbed.units import (
    format_duration,
    format_rate,
    parse_duration_ns,
    parse_fraction,
    parse_rate_bps,
)


def _parse_capacity(value: object) -> float:
    """A rate, or 0."""
    return 0.0 if str(value).strip() == "0" else parse_rate_bps(value)


def _from_text(parse: Any, internal: type | tuple[type, ...]) -> BeforeValidator:
    """Accepts the internal value as it is and text through ``parse``; a user's error becomes
    pydantic's.
    """

    def convert(value: object) -> object:
        if isinstance(value, internal) and not isinstance(value, str):
            return value
        try:
            return parse(value)
        except UserError as error:
            raise ValueError(str(error)) from error

    return BeforeValidator(convert)


# Internal ints are never taken from YAML for a duration: "rtt: 40" has no unit and is refused by
# the parser.
DurationNs = Annotated[
    int,
    _from_text(parse_duration_ns, ()),
    Field(ge=0, le=86_400 * 10**9),
    PlainSerializer(format_duration),
]
RateBps = Annotated[
    float, _from_text(parse_rate_bps, ()), Field(ge=1_000, le=10e9), PlainSerializer(format_rate)
]
Start = DurationNs | Literal["random"]
BufferSize = Annotated[Buffer, _from_text(Buffer.parse, Buffer), PlainSerializer(str)]
Loss = Annotated[
    LossModel | None, _from_text(parse_loss, (LossModel, type(None))), PlainSerializer(format_loss)
]
ReorderText = Annotated[
    Reorder, _from_text(parse_reorder, Reorder), PlainSerializer(format_reorder)
]
PolicerText = Annotated[
    Policer, _from_text(parse_policer, Policer), PlainSerializer(format_policer)
]


def _as_sysctl(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Sysctls = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^net(\.[a-z0-9_]{1,64}){1,6}$")],
        Annotated[str, BeforeValidator(_as_sysctl), Field(pattern=r"^[-0-9a-z_ ]{1,64}$")],
    ],
    Field(max_length=32),
]
Fraction = Annotated[float, _from_text(parse_fraction, float), Field(ge=0, le=1)]
CapacityBps = Annotated[float, _from_text(_parse_capacity, (float, int)), Field(ge=0, le=10e9)]
