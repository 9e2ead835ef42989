"""A scenario: everything a run is asked to do, as one typed value.

Command-line flags and the YAML file are two ways to write it; ``to_yaml`` prints what ``from_yaml``
reads. People write quantities with units ("40ms"); the fields hold internal units, as their names
say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from plugins import absolute
from settings import first_mistake
from testbed.buffer import Buffer
from testbed.controllers.registry import full_names
from testbed.errors import UserError
from testbed.links.impairments import Policer, Reorder
from testbed.links.queues import QueueKind
from testbed.parts import (
    About,
    CrossTraffic,
    EachFlow,
    Failure,
    QueueOptions,
    Reverse,
    Steps,
    Strict,
    reverse_of,
)
from testbed.quantities import (
    BufferSize,
    DurationNs,
    Fraction,
    Loss,
    PolicerText,
    RateBps,
    ReorderText,
    Start,
    Sysctls,
)
from testbed.traffic.abr import full_abr_names, split_abr_names
from testbed.traffic.scheduler import full_scheduler_names
from testbed.units import (
    format_duration,
)


class Scenario(Strict):
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
    sysctls: Sysctls = Field(
        default_factory=dict, description="of the hosts, e.g. net.ipv4.tcp_rto_max_ms: 1000"
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
    reverse: Annotated[Reverse, BeforeValidator(reverse_of)] = Field(
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
    failures: tuple[Failure, ...] = Field(
        (), max_length=1000, description="links, server and workers that break while flows run"
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
        for number, failure in enumerate(self.failures):
            if max(failure.at_ns, failure.stop_ns or 0) >= self.duration_ns:
                raise ValueError(f"failures.{number}: it must begin and stop within duration")
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
