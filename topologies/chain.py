"""Chain: several delaying hops in a row, one of them the bottleneck."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from topologies.base import Emulated, HostPair, Options, Topology


class ChainOptions(Options):
    """Where the bottleneck lies decides how long a sender waits for news of it."""

    hops: int = Field(3, ge=1, le=16, description="emulated hops in a row")
    bottleneck: int = Field(
        2, ge=1, description="which hop is the bottleneck, counted from the senders"
    )

    @model_validator(mode="after")
    def _inside(self) -> ChainOptions:
        if self.bottleneck > self.hops:
            raise ValueError(
                f"bottleneck {self.bottleneck} lies behind the last of {self.hops} hops"
            )
        return self


class Chain(Topology):
    """Sender si to receiver di along r0, r1, ... rk; every hop carries an even share of the round
    trip.
    """

    options_model = ChainOptions
    description = "one bottleneck among several delaying hops"

    def build(self, options: ChainOptions) -> None:
        routers = [self.addRouter(f"r{number}") for number in range(options.hops + 1)]
        for hop in range(1, options.hops + 1):
            share_ns = (
                options.rtt_ns * hop // options.hops - options.rtt_ns * (hop - 1) // options.hops
            )
            emulated = Emulated.halves(f"hop{hop}", share_ns, bottleneck=hop == options.bottleneck)
            self.addLink(routers[hop - 1], routers[hop], emulated=emulated)
        for number in range(1, options.flows + 1):
            self.addLink(self.addHost(f"s{number}"), routers[0])
            self.addLink(routers[-1], self.addHost(f"d{number}"))

    def pairs(self) -> Sequence[HostPair]:
        return [HostPair(f"s{number}", f"d{number}") for number in range(1, self.options.flows + 1)]
