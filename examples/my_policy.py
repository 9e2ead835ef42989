"""A policy of one's own: the delivery rate of the last window, a little more of it while the queue
is short, a little less once packets wait.

    sudo tbtest run --cc policy:examples/my_policy.py:MyPolicy,bbr --rate 20mbit --flow bulk

`decide` is called with every flow whose window of 100 ms has closed. Naming the file runs it, with
your rights.
"""

import numpy as np

from tbtest import Actions, F, FlowBatch

SHORT_QUEUE_NS = 10e6


class MyPolicy:
    """No state: all that it knows is in the batch."""

    history = 1
    """Windows of each flow that it reads."""

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """A pacing rate and a cwnd for each flow."""
        newest = batch.windows[:, -1]
        short = newest[:, F["queueing_delay_ns"]] < SHORT_QUEUE_NS
        rate_bps = batch.bandwidth_bps * np.where(short, 1.25, 0.9)
        bdp_packets = rate_bps * batch.min_rtt_ns / 8e9 / batch.mss_bytes
        return Actions(rate_bps, np.maximum(1.5 * bdp_packets, 4))
