"""What a trace generator is. A generator is a pure function of its parameters, a duration and a
random stream.
"""

from __future__ import annotations

from typing import Annotated, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from traces.errors import TraceError
from traces.forms import NS_PER_S, Float64s, Int64s, Steps
from traces.model import Trace

MAX_RATE_MBPS = 1e6
MAX_STEPS = 2_000_000
Mbps = Annotated[float, Field(gt=0, le=MAX_RATE_MBPS, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.001, le=86400, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Parameters(BaseModel):
    """A generator's parameters: typed, bounded, each with a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=Parameters, contravariant=True)


class Generator(Protocol[P]):
    """One kind of trace. The result repeats after `duration_ns` and depends on nothing but the
    arguments.
    """

    name: str
    description: str

    def generate(self, parameters: P, duration_ns: int, rng: np.random.Generator) -> Trace: ...


def steps_trace(
    name: str,
    start_ns: Int64s,
    rates_mbps: Float64s,
    duration_ns: int,
    delay_ns: Int64s | None = None,
) -> Trace:
    """A repeating trace of steps, its rates rounded to kbit/s so that the last bits of libm do not
    show.
    """
    return Trace(name, duration_ns, Steps(start_ns, np.round(rates_mbps * 1e3) * 1e3, delay_ns))


def check_count(count: float, what: str, most: int = MAX_STEPS) -> None:
    """Refuse a trace that would have too many entries, before memory is asked for. Raises
    TraceError.
    """
    if count > most:
        raise TraceError(
            f"the trace would have {count:,.0f} {what}, the most is {most:,}; shorten --duration "
            "or lower the rate"
        )


def regular_starts(duration_ns: int, step_ns: int) -> Int64s:
    """Starts of equal steps that fill the duration, the last maybe shorter. Raises TraceError."""
    check_count(duration_ns / step_ns, "steps")
    return np.arange(0, duration_ns, step_ns, dtype=np.int64)


def dwell_starts(
    duration_ns: int, means_s: tuple[float, float], rng: np.random.Generator
) -> tuple[Int64s, Int64s]:
    """Starts of alternating stretches with exponential lengths of the given means, and 0 or 1 for
    which one it is.

    No stretch is shorter than a millisecond. Raises TraceError.
    """
    check_count(duration_ns / (sum(means_s) / 2 * NS_PER_S), "steps")
    starts, states = [], []
    at_ns, state = 0, 0
    while at_ns < duration_ns:
        starts.append(at_ns)
        states.append(state)
        at_ns += max(1_000_000, round(rng.exponential(means_s[state]) * NS_PER_S))
        state = 1 - state
    return np.array(starts, dtype=np.int64), np.array(states, dtype=np.int64)
