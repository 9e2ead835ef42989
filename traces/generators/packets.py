"""Delivery opportunities out of rates: bursts of packets at random moments, as a cellular scheduler
grants them.

Bursts come as a Poisson process whose intensity follows the rate; a burst's size is geometric. In
the LTE recording that came with Mahimahi 41 % of the gaps between packets are 0 ms, which a
geometric burst of 1.7 packets on average gives, and the spread of 20 ms windows follows from it
(docs/reference/trace-formats.md).
"""

from __future__ import annotations

import numpy as np

from traces.formats.mahimahi import MAX_PACKETS, NS_PER_MS, PACKET_BYTES
from traces.forms import Opportunities
from traces.generators.base import check_count
from traces.model import Trace


def with_bursts(trace: Trace, burst_packets: float, rng: np.random.Generator) -> Trace:
    """A repeating trace of steps as opportunities in whole milliseconds; `burst_packets` >= 1 is
    the mean size.
    """
    assert trace.period_ns is not None
    mean_packets = trace.total_bytes / PACKET_BYTES
    check_count(mean_packets, "packets", MAX_PACKETS)
    count = int(mean_packets / burst_packets + 10 * np.sqrt(mean_packets) + 10)
    # In units of packets carried, bursts come at a constant rate.
    at_packets = np.cumsum(rng.exponential(burst_packets, count))
    sizes = rng.geometric(1 / burst_packets, count)
    kept = at_packets < mean_packets
    at_ns = trace.time_of_bytes(np.repeat(at_packets[kept] * PACKET_BYTES, sizes[kept]))
    # The end of the period is always an opportunity: Mahimahi's format takes its period from the
    # last line.
    at_ms = np.append(at_ns // NS_PER_MS, trace.period_ns // NS_PER_MS)
    opportunities = Opportunities(at_ms * NS_PER_MS, np.full(len(at_ms), PACKET_BYTES))
    return Trace(trace.name, int(at_ms[-1]) * NS_PER_MS, opportunities=opportunities)
