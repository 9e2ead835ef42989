"""Policies that do one thing wrong each; a link of 3 to 4 Mbit/s is assumed."""

import time

import numpy as np

from tbtest import Actions, FlowBatch

LINK_BPS = 4e6


class _Fixed:
    """A pacing rate, and a cwnd that never binds."""

    history = 1
    share = 1.0

    def rates_bps(self, now_ns: int) -> float:
        return self.share * LINK_BPS

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        count = len(batch.flow)
        return Actions(np.full(count, self.rates_bps(now_ns)), np.full(count, 400.0))


class Greedy(_Fixed):
    """Twice what the link carries."""

    share = 2.0


class Shy(_Fixed):
    """A third of what the link carries."""

    share = 0.33


class Swinging(_Fixed):
    """Twice and half of it in turn."""

    share = 2.0

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        self.share = 0.5 if self.share > 1 else 2.0
        return super().decide(batch, now_ns)


class Slow(_Fixed):
    """Far too much, and after 150 ms: the agent's own answers come first."""

    share = 8.0

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        time.sleep(0.15)
        return super().decide(batch, now_ns)


class Fitting(_Fixed):
    """What a link of 3 Mbit/s carries."""

    share = 0.75
