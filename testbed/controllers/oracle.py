"""What `policy:oracle` is told of a cell: the bottleneck's capacity on the host's clock, its delays
and its flows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy.tasks.congestion.policies.oracle import Foresight, OracleSettings
from testbed.errors import UserError
from testbed.network import Network, Pair
from testbed.traffic.planned import PlannedFlow
from testbed.units import NS_PER_MS, NS_PER_S

_STEP_NS = NS_PER_MS
_BEYOND_NS = 10 * NS_PER_S  # what is still queued at the end


def foresight(
    start_ns: int, network: Network, flows: Sequence[PlannedFlow], settings: OracleSettings
) -> Foresight:
    """The facts of a cell whose traces begin at ``start_ns``.

    The oracle does not see which flow is which: raises UserError where measured flows differ in
    delays or in how many flows they share their bottleneck with, or pass no bottleneck.
    """
    if any(
        step.name == flow.pair.bottleneck and not step.forward
        for flow in flows
        for step in flow.pair.path
    ):
        raise UserError("cc 'policy:oracle': it knows one direction; leave flows in the other out")
    pairs = [flow.pair for flow in flows if flow.role == "measured"]
    views = {_view(pair, network, flows) for pair in pairs}
    if len(views) != 1 or pairs[0].bottleneck is None:
        raise UserError(
            "cc 'policy:oracle': it needs measured flows that meet a bottleneck, all with the same "
            "delays and equally "
            "many flows on it; use another topology"
        )
    link = pairs[0].bottleneck
    capacity = network.links[link].spec.forward.capacity
    if capacity is None:
        raise UserError(
            f"cc 'policy:oracle': the bottleneck {link} has no capacity limit; give it a trace"
        )
    last_ns = max(flow.stop_ns for flow in flows) + _BEYOND_NS
    at_ns = np.arange(0, last_ns, _STEP_NS, dtype=np.int64)
    return Foresight(
        zero_ns=start_ns,
        step_ns=_STEP_NS,
        carried_bytes=capacity.capacity_bytes(at_ns, at_ns + _STEP_NS).tolist(),
        upstream_delay_ns=_upstream_delay_ns(pairs[0], network),
        base_rtt_ns=pairs[0].base_rtt_ns,
        flows=[
            (start_ns + flow.start_ns, start_ns + flow.stop_ns)
            for flow in flows
            if flow.pair.bottleneck == link
        ],
        settings=settings,
    )


def _view(pair: Pair, network: Network, flows: Sequence[PlannedFlow]) -> tuple[int, int, int]:
    """All in which measured flows could differ."""
    sharing = sum(flow.pair.bottleneck == pair.bottleneck for flow in flows)
    return _upstream_delay_ns(pair, network), pair.base_rtt_ns, sharing


def _upstream_delay_ns(pair: Pair, network: Network) -> int:
    """Propagation from the sender to the bottleneck."""
    delay_ns = 0
    for hop in pair.path:
        if hop.name == pair.bottleneck:
            break
        spec = network.links[hop.name].spec
        delay_ns += (spec.forward if hop.forward else spec.reverse).delay_ns
    return delay_ns
