"""Parking lot: a row of bottlenecks; measured flows cross all of them, cross traffic one each."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from topologies.base import Emulated, HostPair, Options, Topology


class ParkingLotOptions(Options):
    """A long flow meets ``bottlenecks`` queues one after another."""

    bottlenecks: int = Field(2, ge=2, le=8, description="bottlenecks in a row")


class ParkingLot(Topology):
    """Sender si to receiver di along r0, r1, ... rk; cross sender ci to receiver xi over the i-th
    bottleneck only.

    The round trip is shared evenly between the bottlenecks, so cross traffic has rtt / bottlenecks.
    All bottlenecks replay the same trace, each with its own queue and its own seed.
    """

    options_model = ParkingLotOptions
    options: ParkingLotOptions
    description = "measured flows cross k bottlenecks in a row, cross traffic one of them"

    def build(self, options: ParkingLotOptions) -> None:
        hops = options.bottlenecks
        routers = [self.addRouter(f"r{number}") for number in range(hops + 1)]
        for hop in range(1, hops + 1):
            share_ns = (
                options.rtt_ns * hop // hops - options.rtt_ns * (hop - 1) // hops
            )  # the shares add up exactly
            emulated = Emulated.halves(f"bottleneck{hop}", share_ns, bottleneck=True)
            self.addLink(routers[hop - 1], routers[hop], emulated=emulated)
            self.addLink(self.addHost(f"c{hop}"), routers[hop - 1])
            self.addLink(routers[hop], self.addHost(f"x{hop}"))
        for number in range(1, options.flows + 1):
            self.addLink(self.addHost(f"s{number}"), routers[0])
            self.addLink(routers[-1], self.addHost(f"d{number}"))

    def pairs(self) -> Sequence[HostPair]:
        measured = [
            HostPair(f"s{number}", f"d{number}") for number in range(1, self.options.flows + 1)
        ]
        return measured + [
            HostPair(f"c{hop}", f"x{hop}", "cross")
            for hop in range(1, self.options.bottlenecks + 1)
        ]
