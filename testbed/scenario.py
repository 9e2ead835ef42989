"""A scenario: everything a run is asked to do, as one typed value.

Command-line flags and the YAML file are two ways to write it; ``to_yaml`` prints what ``from_yaml``
reads. People write quantities with units ("40ms"); the fields hold internal units, as their names
say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from plugins import absolute
from settings import SettingsError, first_mistake, parse_yaml, read_mapping
from testbed.buffer import Buffer
from testbed.controllers.registry import full_names
from testbed.errors import UserError
from testbed.links.base import Loss as LossModel
from testbed.links.base import Policer, Reorder
from testbed.links.queues import Queue, QueueKind
from testbed.loss import (
    format_loss,
    format_policer,
    format_reorder,
    parse_loss,
    parse_policer,
    parse_reorder,
)
from testbed.traffic.abr import full_abr_names, split_abr_names
from testbed.traffic.scheduler import full_scheduler_names
from testbed.units import (
    format_duration,
    format_rate,
    parse_duration_ns,
    parse_fraction,
    parse_rate_bps,
)
from traces.model import Steps as TraceSteps
from traces.model import Trace


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
Fraction = Annotated[float, _from_text(parse_fraction, float), Field(ge=0, le=1)]


def _parse_capacity(value: object) -> float:
    """A rate, or 0."""
    return 0.0 if str(value).strip() == "0" else parse_rate_bps(value)


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True
    )


class QueueOptions(_Strict):
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


class Step(_Strict):
    """What a bottleneck is from a moment on, until the next step."""

    at_ns: DurationNs = Field(alias="at", description="after the run's start; the first one: 0s")
    rate_bps: Annotated[float, _from_text(_parse_capacity, (float, int)), Field(ge=0, le=10e9)] = (
        Field(alias="rate", description="capacity; 0 is an outage")
    )
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


class Reverse(_Strict):
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


def _reverse(value: object) -> object:
    """``5mbit``, ``pair`` or a trace alone is a reverse path of that capacity."""
    if not isinstance(value, str):
        return value
    try:
        parse_rate_bps(value)
    except UserError:
        return {"trace": value}
    return {"rate": value}


class CrossTraffic(_Strict):
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


class EachFlow(_Strict):
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


class About(_Strict):
    """Where a scenario comes from, for people and for `tbtest suite`."""

    section: str = Field("", description="of the standard")
    title: str = Field(description="what it is called there")
    asks: str = Field("", description="what the standard wants to see")
    differs: str = Field("", description="where this scenario departs from it")


class Scenario(_Strict):
    """What to run. Every field is a flag of ``tbtest run`` and a key of the YAML file."""

    topology: str = Field(
        "dumbbell", description="a name of `tbtest topologies`, or path/to/file.py:ClassName"
    )
    topology_options: dict[str, Any] = Field(
        default_factory=dict, description="the topology's own options"
    )
    cc: tuple[str, ...] = Field(
        ("policy", "bbr", "cubic"), description="congestion controllers to compare", min_length=1
    )
    trace: str | None = Field(
        "lte-driving",
        min_length=1,
        description="bottleneck capacity: a file or a name of `tbtest traces list`",
    )
    trace_format: str | None = Field(
        None,
        description="format of the trace's file, or path/to/file.py:Class; null: by content",
    )
    rate_bps: RateBps | None = Field(
        None, alias="rate", description="constant bottleneck capacity, instead of a trace"
    )
    steps: Steps = Field(
        (), description="capacity in steps, with delay and loss of their own, instead of a trace"
    )
    trace_start: Start = Field(
        0,
        description="where in the trace to begin, or random: seeded, with the duration still ahead",
    )
    flow: str = Field(
        "video", description="traffic kind of the measured flows: a name or path/to/file.py:Class"
    )
    abr: tuple[str, ...] = Field(
        (),
        description="dash: who chooses the levels, to compare; empty: the one in flow_options",
    )
    scheduler: tuple[str, ...] = Field(
        (),
        description="jobs: who schedules them, to compare; empty: the one in flow_options",
    )
    flows: int = Field(
        1,
        ge=1,
        le=64,
        description="measured flows, one per host pair, all under the same controller",
    )
    flow_options: dict[str, Any] = Field(
        default_factory=dict, description="the traffic kind's own options"
    )
    each_flow: tuple[EachFlow, ...] = Field(
        (), description="start, stop and options of every measured flow, one entry each"
    )
    stagger_ns: DurationNs = Field(
        200 * 10**6, alias="stagger", description="flows start at seeded random times within this"
    )
    rtt_ns: DurationNs = Field(
        40 * 10**6, alias="rtt", description="propagation round trip, half in each direction"
    )
    # Mobile base stations queue hundreds of milliseconds; a shallow buffer hides what a controller
    # does to the delay.
    buffer: BufferSize = Field(
        Buffer(bdp=8.0), description="bottleneck queue limit: 8bdp, or a size such as 60kB"
    )
    ip: Literal[4, 6] = Field(4, description="version of IP between the hosts")
    queue: QueueKind = Field(
        "droptail",
        description="queue discipline of the bottleneck: droptail, codel, fq_codel, pie, dualpi2",
    )
    queue_options: QueueOptions = Field(
        default_factory=lambda: QueueOptions.model_validate({}),
        description="its parameters, as tc names them: target, interval, ecn, ...",
    )
    ecn: bool = Field(
        False, description="hosts negotiate ECN, and every queue that can marks instead of dropping"
    )
    loss: Loss = Field(
        None, description="random loss 0.5%, or Gilbert-Elliott ge:p_gb,p_bg[,loss_bad[,loss_good]]"
    )
    jitter_ns: DurationNs = Field(
        0, alias="jitter", description="extra random delay up to this, without reordering"
    )
    reorder: ReorderText = Field(
        Reorder(), description="1%,5ms: a packet of a hundred is held back by 5 ms behind the queue"
    )
    duplicate: Fraction = Field(0.0, description="chance that a packet arrives twice: 0.1%")
    wifi_ns: DurationNs = Field(
        0,
        alias="wifi",
        le=91_000_000,
        description="a Wi-Fi hop behind the queue: aggregates whose access takes this on average",
    )
    policer: PolicerText = Field(
        Policer(), description="5mbit,50kB: drops in front of the queue what exceeds rate and burst"
    )
    reverse: Annotated[Reverse, BeforeValidator(_reverse)] = Field(
        default_factory=lambda: Reverse.model_validate({}),
        description="the way of the ACKs: a rate, a trace, `pair`, or a mapping; unlimited",
    )
    bidirectional: bool = Field(
        False, description="every pair carries a second measured flow, from receiver to sender"
    )
    duration_ns: DurationNs = Field(10 * 10**9, alias="duration", description="length of each cell")
    repeats: int = Field(
        1, ge=1, le=1000, description="cells per controller, each with its own seed"
    )
    seed: int = Field(1, ge=0, lt=2**31, description="seed of everything random")
    link_backend: Literal["auto", "relay", "tc"] = Field(
        "auto", description="how links are emulated"
    )
    cross_traffic: tuple[CrossTraffic, ...] = Field(
        (), description="further flows, outside the comparison"
    )
    expect: tuple[str, ...] = Field(
        (),
        description="what must hold of the metrics, e.g. 'policy.stall_200 <= 0.7 * bbr.stall_200'",
    )
    about: About | None = Field(None, description="where the scenario comes from; changes nothing")
    pcap: bool = Field(False, description="capture packets at both ends of the bottleneck")
    log_inputs: bool = Field(
        False, description="log each decision of the policy server with its input"
    )
    policy_server: str | None = Field(
        None, min_length=1, description="address of a running policy server, instead of our own"
    )
    policy: dict[str, Any] = Field(
        default_factory=dict, description="options of the policy server and agent"
    )

    @model_validator(mode="before")
    @classmethod
    def _rate_replaces_default_trace(cls, data: Any) -> Any:
        others = ("rate", "rate_bps", "steps")
        if isinstance(data, Mapping) and "trace" not in data and any(map(data.get, others)):
            return {**data, "trace": None}
        return data

    @field_validator("flow", "topology")
    @classmethod
    def _absolute(cls, name: str) -> str:
        return absolute(name)

    @field_validator("cc", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        if not isinstance(names, Sequence):
            return names
        try:
            return full_names([str(name) for name in names])
        except UserError as error:
            raise ValueError(str(error)) from error

    @field_validator("abr", mode="before")
    @classmethod
    def _split_abr_names(cls, value: object) -> object:
        names = split_abr_names(value) if isinstance(value, str) else value
        if not isinstance(names, Sequence):
            return names
        return full_abr_names([str(name) for name in names])

    @field_validator("scheduler", mode="before")
    @classmethod
    def _split_scheduler_names(cls, value: object) -> object:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        if not isinstance(names, Sequence):
            return names
        return full_scheduler_names([str(name) for name in names])

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        if (self.trace is not None) + (self.rate_bps is not None) + bool(self.steps) != 1:
            raise ValueError(
                "give a trace or a rate, one of the two, or steps (trace: null to use another)"
            )
        if self.duration_ns < 10**9:
            raise ValueError(
                f"duration: {format_duration(self.duration_ns)} is too short to measure; use 1s or "
                "more"
            )
        if self.loss is not None and self.loss.mean >= 1:
            raise ValueError("loss: every packet would be lost; use less than 100%")
        if self.each_flow and len(self.each_flow) != self.flows:
            raise ValueError(
                f"each_flow: {len(self.each_flow)} entries for {self.flows} flows; give one each"
            )
        for number, each in enumerate(self.each_flow):
            start_ns = each.start_ns or 0
            stop_ns = self.duration_ns if each.stop_ns is None else each.stop_ns
            if not start_ns < stop_ns <= self.duration_ns:
                raise ValueError(
                    f"each_flow.{number}: from {format_duration(start_ns)} to "
                    f"{format_duration(stop_ns)}; a flow stops after its start, within duration"
                )
        if self.stagger_ns >= self.duration_ns:
            raise ValueError("stagger: flows would start after the end; use less than duration")
        if not 10**6 <= self.rtt_ns <= 5 * 10**9:
            raise ValueError(f"rtt: {format_duration(self.rtt_ns)} is not between 1ms and 5s")
        return self

    def to_yaml(self) -> str:
        """The YAML that means this scenario; every key is present."""
        data = self.model_dump(mode="json", by_alias=True)
        for key in ("cc", "abr", "scheduler"):
            data[key] = list(getattr(self, key))
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def parse_scenario(data: Mapping[str, Any], source: str) -> Scenario:
    """``data`` as a scenario. Raises UserError naming ``source``, key and value."""
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: {first_mistake(error, Scenario)}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a scenario or grid file. Raises UserError naming file and line."""
    try:
        return read_mapping(path, "a scenario or grid")
    except SettingsError as error:
        raise UserError(str(error)) from error


def set_key(data: dict[str, Any], assignment: str) -> None:
    """Apply ``key.sub=value`` (value in YAML) to ``data`` in place. Raises UserError."""
    key, separator, text = assignment.partition("=")
    if not separator or not key:
        raise UserError(
            f"--set {assignment}: write it as key=value, for example flow_options.fps=60"
        )
    try:
        value = parse_yaml(text, f"--set {assignment}")
    except SettingsError as error:
        raise UserError(str(error)) from error
    *parents, last = key.split(".")
    for parent in parents:
        child = data.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UserError(f"--set {assignment}: {parent} holds a value, not a mapping")
        data = child
    data[last] = value
