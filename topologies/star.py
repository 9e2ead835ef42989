"""Star: senders around one hub, each receiver behind a last mile of its own."""

from __future__ import annotations

from collections.abc import Sequence

from topologies.base import Emulated, HostPair, Options, Topology


class Star(Topology):
    """Sender si to receiver di through the hub and the last mile between the hub and edge router
    ei.

    Flows share no queue: what one controller does never reaches another flow. All last miles replay
    the same trace, each with its own seed.
    """

    description = "every receiver behind a bottleneck of its own; flows share no queue"

    def build(self, options: Options) -> None:
        hub = self.addRouter("hub")
        for number in range(1, options.flows + 1):
            edge = self.addRouter(f"e{number}")
            self.addLink(self.addHost(f"s{number}"), hub)
            self.addLink(
                hub,
                edge,
                emulated=Emulated.halves(f"lastmile{number}", options.rtt_ns, bottleneck=True),
            )
            self.addLink(edge, self.addHost(f"d{number}"))

    def pairs(self) -> Sequence[HostPair]:
        return [HostPair(f"s{number}", f"d{number}") for number in range(1, self.options.flows + 1)]
