"""Dumbbell: N senders, two routers with the bottleneck between them, N receivers."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from topologies.base import DurationNs, Emulated, HostPair, Options, Topology


class DumbbellOptions(Options):
    """``flow_rtts`` gives flows round trips of their own; the shortest one is that of the
    bottleneck link.
    """

    flow_rtts: tuple[DurationNs, ...] = Field(
        (), description="round trip per flow, e.g. [40ms, 80ms], instead of the common one"
    )

    @model_validator(mode="after")
    def _one_per_flow(self) -> DumbbellOptions:
        if self.flow_rtts and len(self.flow_rtts) != self.flows:
            raise ValueError(
                f"flow_rtts names {len(self.flow_rtts)} round trips for {self.flows} flows"
            )
        return self

    def rtts_ns(self) -> Sequence[int]:
        """The round trip of every flow."""
        return self.flow_rtts or (self.rtt_ns,) * self.flows


class Dumbbell(Topology):
    """Sender si to receiver di through left, the bottleneck, and right.

    A flow whose round trip is longer than the shortest gets the rest from a delay-only link of its
    own, between an access router and left.
    """

    options_model = DumbbellOptions
    description = "N senders and N receivers share one bottleneck between two routers"

    def build(self, options: DumbbellOptions) -> None:
        rtts_ns = options.rtts_ns()
        common_ns = min(rtts_ns)
        left, right = self.addRouter("left"), self.addRouter("right")
        self.addLink(
            left, right, emulated=Emulated.halves("bottleneck", common_ns, bottleneck=True)
        )
        for number, rtt_ns in enumerate(rtts_ns, start=1):
            sender, receiver = self.addHost(f"s{number}"), self.addHost(f"d{number}")
            if rtt_ns == common_ns:
                self.addLink(sender, left)
            else:
                access = self.addRouter(f"a{number}")
                self.addLink(sender, access)
                self.addLink(
                    access, left, emulated=Emulated.halves(f"access{number}", rtt_ns - common_ns)
                )
            self.addLink(right, receiver)

    def pairs(self) -> Sequence[HostPair]:
        return [HostPair(f"s{number}", f"d{number}") for number in range(1, self.options.flows + 1)]
