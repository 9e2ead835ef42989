"""A cluster whose tasks fetch their inputs over one link, which all transfers share equally.

The network as a fluid: of n transfers each gets 1/n of the capacity at once (processor sharing,
what flows of equal round-trip time converge to on one bottleneck). Everything between decisions is
that of the simulator.
"""

from __future__ import annotations

import heapq
import itertools

import numpy as np

from policy.errors import PolicyError
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.job import IntArray
from policy.tasks.cjs.live import Launch, LiveCluster
from policy.tasks.cjs.policies.registry import RulePolicy
from policy.tasks.cjs.simulator.entries import ENTRIES


class Link:
    """Transfers by their key, as they proceed with time."""

    def __init__(self, bytes_per_ms: float) -> None:
        """Raises PolicyError for a capacity that is not above 0."""
        if not bytes_per_ms > 0:
            raise PolicyError(f"link of {bytes_per_ms} bytes/ms: give a capacity above 0")
        self._bytes_per_ms = bytes_per_ms
        self._left_bytes: dict[int, float] = {}

    def begin(self, key: int, size_bytes: float) -> None:
        """A transfer starts."""
        self._left_bytes[key] = size_bytes

    def next_ms(self) -> float | None:
        """In how many ms the first transfer ends if none begins; None without any."""
        if not self._left_bytes:
            return None
        return min(self._left_bytes.values()) * len(self._left_bytes) / self._bytes_per_ms

    def go_on(self, elapsed_ms: float) -> list[int]:
        """Let time pass, at most until the first end; the keys of the transfers that end then."""
        if not self._left_bytes:
            return []
        least = min(self._left_bytes.values())
        each = elapsed_ms * self._bytes_per_ms / len(self._left_bytes)
        ends = elapsed_ms >= (self.next_ms() or 0.0)
        moved = least if ends else min(each, least)
        self._left_bytes = {key: left - moved for key, left in self._left_bytes.items()}
        ended = [key for key, left in self._left_bytes.items() if left <= 0] if ends else []
        for key in ended:
            del self._left_bytes[key]
        return ended


def run_over_link(environment: ClusterEnvironment, rule: RulePolicy, link_bps: float) -> IntArray:
    """Let a rule decide to the end in a cluster that has just been made; completion time of each
    job in ms. Every byte that a task takes from its parents crosses the link. Raises PolicyError.
    """
    live, link, parameters = LiveCluster(environment), Link(link_bps / 8_000), rule.array()
    fetching: dict[int, Launch] = {}
    computing: list[tuple[float, int, int]] = []  # end, order, slot
    order, now_ms = itertools.count(), 0.0

    def compute(launch: Launch) -> None:
        heapq.heappush(computing, (now_ms + launch.compute_ms, next(order), launch.slot))

    while True:
        while live.advance(now_ms):
            stage, executors = ENTRIES.choose(live.cluster, rule.number, parameters)
            live.decide(stage, executors, now_ms)
        for launch in live.launches():
            if launch.input_bytes > 0 and launch.parents:
                fetching[launch.slot] = launch
                link.begin(launch.slot, launch.input_bytes)
            else:
                compute(launch)
        if live.finished:
            return np.array(environment.completion_ms())
        transfer_ms = link.next_ms()
        due = [live.next_ms(), computing[0][0] if computing else None]
        due.append(None if transfer_ms is None else now_ms + transfer_ms)
        known = [float(at_ms) for at_ms in due if at_ms is not None]
        if not known:
            raise PolicyError("jobs wait and nothing runs: the policy passed when it had to choose")
        after_ms = max(now_ms, min(known))
        ended = transfer_ms is not None and now_ms + transfer_ms <= after_ms
        arrived = link.go_on(
            transfer_ms if ended and transfer_ms is not None else after_ms - now_ms
        )
        now_ms = after_ms
        for slot in arrived:
            compute(fetching.pop(slot))
        while computing and computing[0][0] <= now_ms:
            live.ended(heapq.heappop(computing)[2], now_ms)
