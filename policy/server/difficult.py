"""APC in the server: which flows are difficult, whether the model can answer them in time, and what
came of each answer. Pure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.scheduler import registry as schedulers
from policy.scheduler.base import Adapts
from policy.scheduler.gauge import LoadGauge
from policy.scheduler.rules import Reason
from policy.server.config import ServerConfig
from policy.server.lanes import Lane
from policy.server.metrics import Metrics
from policy.server.streams import Streams

Ints = NDArray[np.int64]
# Plain numbers: with enum's own operators the loop takes 0.12 ms, with these 0.02.
_BITS = tuple((reason.name or "", np.uint8(reason)) for reason in Reason)


class DifficultFlows:
    """Per slot, why the scheduler holds its flow difficult; the difficult ones wait in the queue of
    the model's lane while it can answer them in time.

    lane: of the model that answers difficult flows; None where the server has none.
    """

    def __init__(
        self, config: ServerConfig, lane: Lane | None, streams: Streams, metrics: Metrics
    ) -> None:
        slots = config.limits.flows
        self.scheduler = schedulers.create(config.scheduler, slots, config.apc, config.adaptive)
        self._adapts = self.scheduler if isinstance(self.scheduler, Adapts) else None
        self._config, self._lane, self._streams, self._metrics = config, lane, streams, metrics
        self._gauge = LoadGauge()
        self._reasons = np.zeros(slots, np.uint8)
        # Whether the flow has been scheduled, and the model has answered since.
        self._scheduled, self._by_model = np.zeros(slots, bool), np.zeros(slots, bool)

    def schedule(self, batch: FlowBatch, now_ns: int) -> NDArray[np.uint8]:
        """Why each of these flows is difficult, bits of `Reason`; queues those that can be
        answered in time.
        """
        before = self._scheduled[batch.flow]
        if before.any():
            known = batch.only(before)
            self.scheduler.feedback(known, self._by_model[known.flow])
        self._scheduled[batch.flow], self._by_model[batch.flow] = True, False
        reasons = self.scheduler.observe(batch)
        self._reasons[batch.flow] = reasons
        difficult = reasons > 0
        self._metrics.difficult += int(np.count_nonzero(difficult))
        for name, bit in _BITS:
            self._metrics.reasons[name] += int(np.count_nonzero(reasons & bit))
        if self._lane is not None:
            self._admit(self._lane, batch, difficult, now_ns)
        return reasons

    def _admit(
        self, lane: Lane, batch: FlowBatch, difficult: NDArray[np.bool_], now_ns: int
    ) -> None:
        lane.queue.remove(batch.flow[~difficult])
        flows = batch.flow[difficult]
        admitted = int(np.count_nonzero(lane.queue.admit(flows, self._deadline_ns(flows), now_ns)))
        self._metrics.admitted += admitted
        self._gauge.scheduled(len(flows), admitted)
        if self._adapts is not None and self._gauge.due(now_ns):
            usable_ns = (self._deadline_ns(batch.flow) - now_ns).min()
            capacity_per_s = lane.queue.service.capacity_per_s(float(usable_ns))
            self._adapts.measured(self._gauge.read(now_ns, capacity_per_s))

    def _deadline_ns(self, slots: Ints) -> Ints:
        """By when the model must have answered, on the server's clock."""
        usable = self._streams.patience_ns(slots) * (1 - self._config.admission.margin)
        return self._streams.table.arrival_ns[slots] + usable.astype(np.int64)

    def take(self, lane: Lane, now_ns: int) -> Ints:
        """The flows that the model decides next; those that have waited too long are dropped."""
        slots, late = lane.queue.take(now_ns)
        if len(late):
            self._metrics.dropped[lane.tier.name, "queued_too_long"] += len(late)
            self._gauge.late(len(late))
        return slots

    def reasons(self, slots: Ints) -> NDArray[np.uint8]:
        """Why these flows were difficult when they were scheduled last."""
        return self._reasons[slots]

    def answered(self, slots: Ints, usable: NDArray[np.bool_]) -> None:
        """The model's answers to these flows were sent; usable: which of them are rates."""
        self._by_model[slots] = usable

    def late(self, count: int) -> None:
        """So many of the model's answers came too late."""
        self._gauge.late(count)

    def forget(self, slots: Ints) -> None:
        """These slots' flows have ended."""
        self.scheduler.forget(slots.tolist())
        self._reasons[slots] = 0
        self._scheduled[slots] = self._by_model[slots] = False
