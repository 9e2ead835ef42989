"""Two paths: one bottleneck, behind it a short way and a detour to the receivers."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from topologies.base import DurationNs, Emulated, HostPair, Options, Topology


class TwoPathsOptions(Options):
    """The short way has the round trip of the flows, the detour one of its own."""

    detour_rtt_ns: DurationNs = Field(
        200 * 10**6, alias="detour_rtt", description="propagation round trip by the detour"
    )

    @model_validator(mode="after")
    def _longer(self) -> TwoPathsOptions:
        if self.detour_rtt_ns < self.rtt_ns:
            raise ValueError("detour_rtt is shorter than the round trip; give a longer one")
        return self


class TwoPaths(Topology):
    """Sender si to receiver di through near, the bottleneck, mid, the short way, and right.

    Half of the round trip is the bottleneck's, half the short way's. Routes take the detour through
    far while ``short`` fails (`failures` of a scenario); what is on the short way then still
    arrives, so a return to it reorders packets.
    """

    options_model = TwoPathsOptions
    options: TwoPathsOptions
    description = "one bottleneck, then a short way and a detour, which routes take when it fails"

    def build(self, options: TwoPathsOptions) -> None:
        near, mid, right = (self.addRouter(name) for name in ("near", "mid", "right"))
        far = self.addRouter("far")
        own_ns = options.rtt_ns // 2
        self.addLink(near, mid, emulated=Emulated.halves("bottleneck", own_ns, bottleneck=True))
        self.addLink(mid, right, emulated=Emulated.halves("short", options.rtt_ns - own_ns))
        self.addLink(mid, far, emulated=Emulated.halves("detour", options.detour_rtt_ns - own_ns))
        self.addLink(far, right)
        for number in range(1, options.flows + 1):
            self.addLink(self.addHost(f"s{number}"), near)
            self.addLink(right, self.addHost(f"d{number}"))

    def pairs(self) -> Sequence[HostPair]:
        return [HostPair(f"s{number}", f"d{number}") for number in range(1, self.options.flows + 1)]
