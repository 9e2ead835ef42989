"""Parts of a scenario: queues, steps of capacity, the reverse path, cross traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator

from testbed.buffer import Buffer
from testbed.errors import UserError
from testbed.links.queues import Queue, QueueKind
from testbed.quantities import BufferSize, CapacityBps, DurationNs, Fraction, Loss, RateBps
from testbed.units import NS_PER_MS, format_rate, parse_rate_bps
from traces.forms import Steps as TraceSteps
from traces.model import Trace


class Strict(BaseModel):
    """Base of a scenario and its parts: frozen, unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True
    )


class QueueOptions(Strict):
    """Parameters of the queue discipline, as tc names them; what is not given is Linux's default.

    Which of them a discipline has: `testbed.links.queues.DEFAULTS`.
    """

    target_ns: DurationNs | None = Field(None, alias="target", description="delay aimed at")
    interval_ns: DurationNs | None = Field(
        None, alias="interval", description="codel, fq_codel: time to get there"
    )
    ecn: bool | None = Field(None, description="mark what can be marked instead of dropping it")
    flows: int | None = Field(None, description="fq_codel: number of queues")
    quantum: int | None = Field(None, description="fq_codel: bytes per round")
    tupdate_ns: DurationNs | None = Field(
        None, alias="tupdate", description="pie, dualpi2: between updates of the probability"
    )
    alpha: int | None = Field(None, description="pie: in 1/16, dualpi2: in 1/256 per s")
    beta: int | None = Field(None, description="pie: in 1/16, dualpi2: in 1/256 per s")
    coupling_factor: int | None = Field(None, description="dualpi2: L4S marks per classic one")
    step_thresh_ns: DurationNs | None = Field(
        None, alias="step_thresh", description="dualpi2: L4S packets are marked above this delay"
    )
    classic_protection: int | None = Field(
        None, description="dualpi2: least share of the classic queue, %"
    )

    def queue(self, kind: QueueKind, limit_bytes: int, *, ecn: bool) -> Queue:
        """The queue of that kind with these parameters. Raises UserError."""
        asked = {name: value for name, value in self if value is not None}
        return Queue.of(kind, limit_bytes, asked, ecn)


class Step(Strict):
    """What a bottleneck is from a moment on, until the next step."""

    at_ns: DurationNs = Field(alias="at", description="after the run's start; the first one: 0s")
    rate_bps: CapacityBps = Field(alias="rate", description="capacity; 0 is an outage")
    delay_ns: DurationNs = Field(0, alias="delay", description="one-way delay on top of the RTT's")
    loss: Fraction = Field(0.0, description="chance of a packet, on top of `loss`")

    @field_serializer("rate_bps")
    def _as_text(self, rate_bps: float) -> str:
        return format_rate(rate_bps) if rate_bps else "0"


Steps = Annotated[tuple[Step, ...], Field(max_length=10_000)]


def steps_trace(steps: Sequence[Step], name: str) -> Trace:
    """The trace that steps mean; the last one holds. Raises TraceError."""
    return Trace(
        name,
        None,
        TraceSteps(
            np.array([step.at_ns for step in steps]),
            np.array([step.rate_bps for step in steps]),
            np.array([step.delay_ns for step in steps]) if any(s.delay_ns for s in steps) else None,
            np.array([step.loss for step in steps]) if any(s.loss for s in steps) else None,
        ),
    )


class Reverse(Strict):
    """The bottleneck against the data direction, which ACKs take. A rate or a trace limits it."""

    trace: str | None = Field(
        None,
        description="its capacity: a file or name; `pair` is the recording's other direction "
        "(name.up beside name.down)",
    )
    rate_bps: RateBps | None = Field(
        None, alias="rate", description="its constant capacity, instead of a trace"
    )
    steps: Steps = Field((), description="its capacity in steps, as `steps`")
    buffer: BufferSize = Field(Buffer(bdp=8.0), description="its queue limit, as `buffer`")
    queue: QueueKind = Field("droptail", description="its queue discipline")
    queue_options: QueueOptions = Field(
        default_factory=lambda: QueueOptions.model_validate({}), description="its parameters"
    )
    loss: Loss = Field(None, description="its loss, as `loss`")

    @model_validator(mode="after")
    def _one_capacity(self) -> Reverse:
        if (self.trace is not None) + (self.rate_bps is not None) + bool(self.steps) > 1:
            raise ValueError("give a trace or a rate, one of the two, or steps")
        return self


def reverse_of(value: object) -> object:
    """``5mbit``, ``pair`` or a trace alone is a reverse path of that capacity."""
    if not isinstance(value, str):
        return value
    try:
        parse_rate_bps(value)
    except UserError:
        return {"trace": value}
    return {"rate": value}


class CrossTraffic(Strict):
    """One more flow, outside the comparison, on a pair of hosts."""

    pair: int = Field(0, ge=0, description="index of the host pair that carries it")
    kind: str = Field("onoff", description="traffic kind")
    cc: str = Field("cubic", description="its congestion controller, the kernel's own")
    direction: Literal["forward", "reverse"] = Field(
        "forward", description="reverse: from the pair's receiver to its sender"
    )
    start_ns: DurationNs = Field(0, alias="start", description="after the run's start")
    stop_ns: DurationNs | None = Field(
        None, alias="stop", description="after the run's start; null: with the run"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="the traffic kind's own options"
    )


class Failure(Strict):
    """Something that breaks while the flows run."""

    kind: Literal["link", "server", "worker"] = Field(
        description="link: routes avoid it; server, worker: the policy server, or the process in "
        "which its model runs, is killed"
    )
    link: str | None = Field(None, description="link: the name of the emulated one")
    at_ns: DurationNs = Field(alias="at", description="after the run's start")
    stop_ns: DurationNs | None = Field(
        None,
        alias="stop",
        description="when routes take the link again, or the server is started again; null: never",
    )
    every_ns: DurationNs | None = Field(
        None, alias="every", description="breaks and is mended in turns of this length until stop"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Failure:
        if (self.kind == "link") != (self.link is not None):
            raise ValueError("link: name the link of a failure of kind link, and of no other")
        if self.stop_ns is not None and self.stop_ns <= self.at_ns:
            raise ValueError("stop: it must lie after at")
        if self.every_ns is not None and (self.stop_ns is None or self.every_ns < 20 * NS_PER_MS):
            raise ValueError("every: at least 20ms, and with a stop")
        return self


class EachFlow(Strict):
    """What is special about one measured flow."""

    start_ns: DurationNs | None = Field(
        None, alias="start", description="after the run's start; null: within `stagger`"
    )
    stop_ns: DurationNs | None = Field(
        None, alias="stop", description="after the run's start; null: with the run"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="options of its own, on top of flow_options"
    )


class About(Strict):
    """Where a scenario comes from, for people and for `tbtest suite`."""

    section: str = Field("", description="of the standard")
    title: str = Field(description="what it is called there")
    asks: str = Field("", description="what the standard wants to see")
    differs: str = Field("", description="where this scenario departs from it")
