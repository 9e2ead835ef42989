"""Randomised exploration for experience: rate = bandwidth estimate · 2^a, with a held for a few
windows.

a is uniform in [-1, 1], the range of the learned action, but drawn from [-1, 0] while the queueing
delay exceeds one minimum RTT: an unbounded random walk would spend its time in a full queue, where
no policy should be. Each flow draws from a stream of its own, which depends on the seed, the flow's
number and how often that number was reused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch, PolicyContext
from policy.tasks.congestion.cwnd import MIN_CWND_PACKETS
from policy.tasks.congestion.fields import F

LONGEST_WINDOWS = 8
CWND_GAIN = 2.0


class Explore:
    """See the module. State per flow: its random stream, the action held and for how many windows
    more.
    """

    name = "explore"
    history = 1

    def __init__(self, context: PolicyContext) -> None:
        self._seed = context.seed
        self._uses: dict[int, int] = {}
        self._random: dict[int, np.random.Generator] = {}
        self._action: NDArray[np.float64] = np.zeros(context.flows)
        self._left = np.zeros(context.flows, np.int64)

    def forget(self, flows: Sequence[int]) -> None:
        """See Policy."""
        for flow in flows:
            self._uses[int(flow)] = self._uses.get(int(flow), 0) + 1
            self._random.pop(int(flow), None)
        self._left[np.asarray(flows, np.int64)] = 0

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        queueing = batch.windows[:, -1, F["queueing_delay_ns"]] > batch.min_rtt_ns
        for flow, full in zip(batch.flow.tolist(), queueing.tolist(), strict=True):
            if self._left[flow] == 0:
                random = self._stream(flow)
                self._action[flow] = random.uniform(-1.0, 0.0 if full else 1.0)
                self._left[flow] = random.integers(1, LONGEST_WINDOWS + 1)
            self._left[flow] -= 1
        rate = batch.bandwidth_bps * np.exp2(self._action[batch.flow])
        cwnd = CWND_GAIN * rate * batch.min_rtt_ns / 8e9 / batch.mss_bytes
        return Actions(rate, np.maximum(cwnd, MIN_CWND_PACKETS))

    def _stream(self, flow: int) -> np.random.Generator:
        if flow not in self._random:
            self._random[flow] = np.random.default_rng([self._seed, flow, self._uses.get(flow, 0)])
        return self._random[flow]
