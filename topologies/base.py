"""What a topology is: a Mininet ``Topo`` that says which links are emulated and which host pairs
carry traffic.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from mininet.topo import Topo
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from settings import first_mistake
from topologies.errors import TopologyError, place

_NS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


def _duration_ns(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # from code: nanoseconds
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(us|ms|s)\s*", str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write it like 40ms (units: us, ms, s)")
    return round(float(match[1]) * _NS[match[2]])


DurationNs = Annotated[
    int,
    BeforeValidator(_duration_ns),
    Field(ge=0, le=5 * 10**9),
    PlainSerializer(lambda value: f"{value / 1e6:g}ms", when_used="json"),
]


class Options(BaseModel):
    """What every topology is given. A topology with options of its own derives from this."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flows: int = Field(1, ge=1, le=64, description="measured host pairs")
    rtt_ns: DurationNs = Field(
        40 * 10**6, description="propagation round trip of the measured pairs"
    )


@dataclass(frozen=True)
class Emulated:
    """Value of ``addLink(a, b, emulated=...)``: a link between two routers, opened by a link
    backend.

    A bottleneck has the run's capacity trace and queue in the direction a to b, which data takes;
    the other direction and all other emulated links only delay. Delays are one-way.
    """

    name: str  # unique in the topology; 13 characters at most, it also names the interfaces
    forward_delay_ns: int
    reverse_delay_ns: int
    bottleneck: bool = False

    @classmethod
    def halves(cls, name: str, rtt_ns: int, *, bottleneck: bool = False) -> Emulated:
        """A link that adds ``rtt_ns`` to the round trip, half in each direction."""
        return cls(name, rtt_ns // 2, rtt_ns - rtt_ns // 2, bottleneck)


@dataclass(frozen=True)
class HostPair:
    """Two hosts between which data flows, from sender to receiver."""

    sender: str
    receiver: str
    role: Literal["measured", "cross"] = "measured"


class Topology(Topo):  # type: ignore[misc]  # Mininet has no types
    """Base of all topologies. ``addHost`` and ``addRouter`` add nodes, ``addLink`` links between
    them.

    A plain link is a veth pair without any delay. An emulated link must lie between two routers: on
    a sending host TCP small queues would see its queue. Addresses and routes are worked out by the
    testbed, along the fewest hops.
    """

    options_model: ClassVar[type[Options]] = Options
    description: ClassVar[str]  # one line, for `tbtest topologies`

    def __init__(self, options: Options) -> None:
        self.options = options
        super().__init__(options)

    def build(self, options: Any) -> None:
        """Add nodes and links."""
        raise NotImplementedError

    def pairs(self) -> Sequence[HostPair]:
        """The pairs that carry traffic: ``options.flows`` measured ones first, then those for cross
        traffic.
        """
        raise NotImplementedError

    def addRouter(self, name: str) -> str:  # noqa: N802  # as Mininet spells its own
        """Add a node that forwards."""
        return str(self.addHost(name, router=True))


def create(topology: type[Topology], options: Mapping[str, Any]) -> Topology:
    """An instance with validated options. Raises TopologyError naming option and value."""
    try:
        parsed = topology.options_model.model_validate(dict(options))
    except ValidationError as error:
        mistake = first_mistake(error, topology.options_model, what="option")
        raise TopologyError(f"{topology.__name__}: {mistake}") from error
    try:
        built = topology(parsed)
        check(built)
    except TopologyError:
        raise
    except Exception as error:  # whatever a user's build() or pairs() raises
        where = place(error, inspect.getfile(topology))
        raise TopologyError(
            f"{where}: {topology.__name__}: {type(error).__name__}: {error}"
        ) from error
    return built


def check(topology: Topology) -> None:
    """Raises TopologyError where the topology does not keep to the protocol."""
    name = type(topology).__name__

    def is_router(node: str) -> bool:
        return bool(topology.nodeInfo(node).get("router"))

    nodes = list(topology.nodes())
    for node in nodes:
        if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]{0,7}", node):
            raise TopologyError(
                f"{name}: node name {node!r}; use a letter, then at most 7 letters and digits"
            )
        if topology.isSwitch(node):
            raise TopologyError(
                f"{name}: {node} is a switch; use addRouter, links between routers are what is "
                "emulated"
            )
    seen: set[str] = set()
    bottlenecks = 0
    for node1, node2, info in topology.links(withInfo=True):
        emulated = info.get("emulated")
        if emulated is None:
            continue
        if not isinstance(emulated, Emulated):
            raise TopologyError(
                f"{name}: link {node1}-{node2}: emulated={emulated!r} must be an Emulated(...)"
            )
        if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{0,12}", emulated.name) or emulated.name in seen:
            raise TopologyError(
                f"{name}: emulated link name {emulated.name!r} must be unique, a letter and at "
                "most 12 more of a-z0-9-"
            )
        seen.add(emulated.name)
        if not (is_router(node1) and is_router(node2)):
            raise TopologyError(
                f"{name}: emulated link {emulated.name} must lie between two routers (addRouter)"
            )
        bottlenecks += emulated.bottleneck
    if not bottlenecks:
        raise TopologyError(
            f"{name}: no link is a bottleneck; declare one with Emulated(..., bottleneck=True)"
        )
    pairs = list(topology.pairs())
    for pair in pairs:
        for node in (pair.sender, pair.receiver):
            if node not in nodes or is_router(node):
                raise TopologyError(f"{name}: pairs() names {node!r}, which is not a host of it")
    measured = sum(pair.role == "measured" for pair in pairs)
    if measured != topology.options.flows or any(p.role != "measured" for p in pairs[:measured]):
        raise TopologyError(
            f"{name}: pairs() must begin with flows = {topology.options.flows} measured pairs, it "
            f"has {measured}"
        )
