"""A network of one's own: two access links into one bottleneck, one of them 30 ms longer.

sudo tbtest run --topology examples/my_topology.py:TwoAccess --flows 2 --flow bulk --cc cubic
"""

from collections.abc import Sequence

from tbtest import Emulated, HostPair, Options, Topology

FARTHER_NS = 30_000_000


class TwoAccess(Topology):
    """Odd senders are near, even senders are farther away by FARTHER_NS."""

    description = "near and far senders share one bottleneck"

    def build(self, options: Options) -> None:
        """Routers left and right with the bottleneck between them, and a router for who is far."""
        left, right, far = (self.addRouter(name) for name in ("left", "right", "far"))
        bottleneck = Emulated.halves("bottleneck", options.rtt_ns, bottleneck=True)
        self.addLink(left, right, emulated=bottleneck)
        self.addLink(far, left, emulated=Emulated.halves("access", FARTHER_NS))
        for number in range(1, options.flows + 1):
            self.addLink(self.addHost(f"s{number}"), left if number % 2 else far)
            self.addLink(right, self.addHost(f"d{number}"))

    def pairs(self) -> Sequence[HostPair]:
        """Sender si to receiver di."""
        return [HostPair(f"s{number}", f"d{number}") for number in range(1, self.options.flows + 1)]
