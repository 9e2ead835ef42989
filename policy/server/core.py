"""The server without its sockets and threads: messages in, decisions out. Pure; `now_ns` is the
server's clock.

receive(...)   for each StateBatch: checks it, opens and closes flows, keeps the rest for the next
tick tick(now)      folds all that came, lets the light tier answer and the scheduler admit:
messages to send next_job(lane) the next batch for a model tier that is idle; finish(job, …):
messages to send
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch, Policy, PolicyContext
from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb
from policy.registry import create
from policy.scheduler import registry as schedulers
from policy.scheduler.base import Adapts
from policy.scheduler.gauge import LoadGauge
from policy.scheduler.rules import Reason
from policy.server.config import ServerConfig
from policy.server.flows import Asked, Session
from policy.server.inputs import InputLog
from policy.server.intake import Closed, Rejections, closings_of, records_of
from policy.server.lanes import Job, Lane, lane
from policy.server.metrics import Metrics
from policy.server.streams import APC, Streams
from policy.tasks.congestion.competition import Competition
from policy.tasks.congestion.fields import HISTORY, LEVELS
from policy.tasks.congestion.history import History
from policy.tasks.congestion.windows import WindowFolder, rounds

Ints = NDArray[np.int64]
_MSS = LEVELS.index("mss_bytes")
Outgoing = list[tuple[Session, pb.ServerMessage]]


def _usable(actions: Actions) -> NDArray[np.bool_]:
    """Which actions are rates and cwnds at all."""
    rate, cwnd = actions.pacing_rate_bps, actions.cwnd_packets
    usable: NDArray[np.bool_] = np.isfinite(rate) & np.isfinite(cwnd) & (rate > 0) & (cwnd > 0)
    return usable


class Core:
    """See the module."""

    def __init__(
        self,
        config: ServerConfig,
        models: dict[str, Policy],
        metrics: Metrics,
        clock: Callable[[], int] = time.monotonic_ns,
        inputs: InputLog | None = None,
    ) -> None:
        """models: the model tiers that are loaded, by name; config.difficult is one of them or
        None.

        clock: only to measure how long answers take; inputs: where decisions are logged.
        """
        self._clock = clock
        slots = config.limits.flows
        self.metrics = metrics
        self._config = config
        self.lanes: dict[str, Lane] = {name: lane(tier, config) for name, tier in models.items()}
        self._difficult = self.lanes[config.difficult] if config.difficult else None
        self._light: dict[str, Policy] = {}
        self._folder, self._history = WindowFolder(slots), History(slots)
        self.streams = Streams(config, list(models), metrics, self._opened)
        self._table = self.streams.table
        self.scheduler = schedulers.create(config.scheduler, slots, config.apc, config.adaptive)
        self._adapts = self.scheduler if isinstance(self.scheduler, Adapts) else None
        self._gauge = LoadGauge()
        self._competition = Competition(slots, config.competition)
        metrics.competing = self._competition.competing
        self._inputs = inputs
        self._reasons = np.zeros(slots, np.uint8)
        # Under APC: whether the flow has been scheduled, and the model has answered since.
        self._scheduled, self._by_model = np.zeros(slots, bool), np.zeros(slots, bool)

    def _opened(self, slots: Ints, start_ns: Ints, objective: NDArray[np.float64]) -> None:
        self._folder.open(slots, start_ns)
        self._history.objective[slots] = objective

    # Decisions

    @property
    def pending(self) -> bool:
        """Whether a tick has something to do."""
        return bool(self.streams.parts or self.streams.rejections.by_session)

    def tick(self, now_ns: int) -> Outgoing:
        """Fold all that came since the last tick and decide at once what can be."""
        parts, self.streams.parts = self.streams.parts, []
        rejections, self.streams.rejections = self.streams.rejections, Rejections()
        outgoing: Outgoing = []
        if parts:
            records = records_of(parts, rejections)
            closed = closings_of(parts, self._table, rejections)
            rows, stale, fell = self._folder.fold(records, closed.slot, closed.end_ns)
            closings = rounds(closed.slot)
            for chosen in closings:
                self._history.append(closed.slot[chosen], rows[chosen])
                if self._inputs is not None:
                    self._log_windows(self._inputs, closed.only(chosen), rows[chosen], now_ns)
            self.metrics.records += len(records)
            self.metrics.windows += len(rows)
            for reason, count in (("stale_record", stale), ("counter_fell", fell)):
                if count:
                    self.metrics.rejected[reason] += count
            if closings:
                slots = closed.slot[closings[0]]  # each flow once
                outgoing += self._decide(slots[self._table.session[slots] >= 0], now_ns)
        self._forget_closed()
        return outgoing + self._rejected(rejections)

    def _decide(self, slots: Ints, now_ns: int) -> Outgoing:
        outgoing: Outgoing = []
        for policy, flows in self.streams.by_policy(slots).items():
            if policy in self.lanes:
                self._competition.observe(
                    self._history.batch(flows, self._folder.levels[flows, _MSS], 1)
                )
                self.lanes[policy].queue.join(flows)
                continue
            name = self._config.light if policy == APC else policy
            light = self.light(name)
            need = max(
                getattr(light, "history", HISTORY), self.scheduler.history if policy == APC else 1
            )
            batch = self._history.batch(flows, self._folder.levels[flows, _MSS], need)
            self._competition.observe(batch)
            started_ns = self._clock()
            actions = self._competed(light, batch, light.decide(batch, now_ns))
            compute_ns = self._clock() - started_ns
            reasons = (
                self._schedule(batch, now_ns) if policy == APC else np.zeros(len(flows), np.uint8)
            )
            asked = self._table.asked(flows)
            if self._inputs is not None:
                self._inputs.by_rule(self._inputs.rows(flows), name, actions, reasons)
            outgoing += self._answers(name, asked, actions, reasons, started_ns, compute_ns)
        return outgoing

    def _log_windows(
        self, inputs: InputLog, closed: Closed, rows: NDArray[np.float64], now_ns: int
    ) -> None:
        open_ = np.flatnonzero(self._table.session[closed.slot] >= 0)
        slots, table = closed.slot[open_], self._table
        columns = {
            "flow": table.agent_slot[slots],
            "generation": table.generation[slots],
            "window": closed.window[open_],
            "end_ns": closed.end_ns[open_],
            "known": self._history.count[slots],
            "mss_bytes": self._folder.levels[slots, _MSS],
            "objective": self._history.objective[slots],
        }
        agents = [self.streams.session(index).agent_id for index in table.session[slots].tolist()]
        inputs.windows(slots, agents, columns, rows[open_], now_ns)

    def _competed(self, tier: Policy, batch: FlowBatch, actions: Actions) -> Actions:
        """Tiers that keep queues short would starve beside flows that fill them."""
        return (
            self._competition.applied(batch, actions) if getattr(tier, "yields", False) else actions
        )

    def _schedule(self, batch: FlowBatch, now_ns: int) -> NDArray[np.uint8]:
        """Find the difficult flows and queue those that can be answered in time."""
        before = self._scheduled[batch.flow]
        if before.any():
            known = batch.only(before)
            self.scheduler.feedback(known, self._by_model[known.flow])
        self._scheduled[batch.flow], self._by_model[batch.flow] = True, False
        reasons = self.scheduler.observe(batch)
        self._reasons[batch.flow] = reasons
        difficult = reasons > 0
        self.metrics.difficult += int(np.count_nonzero(difficult))
        for reason in Reason:
            self.metrics.reasons[reason.name or ""] += int(np.count_nonzero(reasons & reason))
        if self._difficult is not None:
            queue = self._difficult.queue
            queue.remove(batch.flow[~difficult])
            flows = batch.flow[difficult]
            admitted = int(np.count_nonzero(queue.admit(flows, self._deadline_ns(flows), now_ns)))
            self.metrics.admitted += admitted
            self._gauge.scheduled(len(flows), admitted)
            if self._adapts is not None and self._gauge.due(now_ns):
                usable_ns = (self._deadline_ns(batch.flow) - now_ns).min()
                capacity_per_s = queue.service.capacity_per_s(float(usable_ns))
                self._adapts.measured(self._gauge.read(now_ns, capacity_per_s))
        return reasons

    def light(self, name: str) -> Policy:
        """A light tier, built when first asked for."""
        if name not in self._light:
            self._light[name] = create(
                name, PolicyContext(self._config.limits.flows, seed=self._config.seed)
            )
        return self._light[name]

    def _deadline_ns(self, slots: Ints) -> Ints:
        """By when the model must have answered, on the server's clock."""
        usable = self.streams.patience_ns(slots) * (1 - self._config.admission.margin)
        return self._table.arrival_ns[slots] + usable.astype(np.int64)

    # Model tiers

    def next_job(self, name: str, now_ns: int) -> Job | None:
        """What the idle lane is to compute next; None if nothing waits."""
        lane = self.lanes[name]
        if lane.busy or not len(lane.queue):
            return None
        if lane is self._difficult and not self.streams.alone(name):
            slots, late = lane.queue.take(now_ns)
            if len(late):
                self.metrics.dropped[name, "queued_too_long"] += len(late)
                self._gauge.late(len(late))
        else:
            slots = lane.queue.take_all(now_ns)
        if not len(slots):
            return None
        lane.busy = True
        batch = self._history.batch(slots, self._folder.levels[slots, _MSS], lane.history)
        rows = None if self._inputs is None else self._inputs.rows(slots)
        return Job(lane, batch, self._table.asked(slots), self._reasons[slots], now_ns, rows)

    def finish(self, job: Job, actions: Actions | None, now_ns: int) -> Outgoing:
        """The lane's answer, None if it failed. Late or superseded answers are counted, and under
        APC not sent.
        """
        lane, slots, name = job.lane, job.batch.flow, job.lane.tier.name
        lane.busy = False
        compute_ns = now_ns - job.taken_ns
        if actions is None:
            lane.queue.failed()
            self.metrics.dropped[name, "failed"] += len(slots)
            return []
        lane.queue.done(len(slots), compute_ns, now_ns)
        table, asked = self._table, job.asked
        live = table.is_open(asked)
        superseded = live & (table.window[slots] > asked.window)
        late = live & (now_ns - asked.arrival_ns > self.streams.patience_ns(slots))
        self.metrics.late[name] += int(np.count_nonzero(late))
        if lane is self._difficult:
            self._gauge.late(int(np.count_nonzero(late)))
        drop = self.streams.collaborating(slots) & (late | superseded)
        for reason, mask in (
            ("flow_ended", ~live),
            ("late", drop & late),
            ("superseded", drop & ~late),
        ):
            if count := int(np.count_nonzero(mask)):
                self.metrics.dropped[name, reason] += count
        actions = self._competed(lane.tier, job.batch, actions)
        kept = np.flatnonzero(live & ~drop)
        chosen = Actions(actions.pacing_rate_bps[kept], actions.cwnd_packets[kept])
        self._by_model[slots[kept]] = _usable(chosen)
        if self._inputs is not None and job.rows is not None:
            self._inputs.by_model(job.rows, name, actions, live & ~drop)
        return self._answers(
            name, asked.only(kept), chosen, job.reasons[kept], job.taken_ns, compute_ns
        )

    # Messages

    def _answers(
        self,
        tier: str,
        asked: Asked,
        actions: Actions,
        reasons: NDArray[np.uint8],
        started_ns: int,
        compute_ns: int,
    ) -> Outgoing:
        """DecisionBatch messages, one per session, for the actions that are rates at all."""
        rate, cwnd = actions.pacing_rate_bps, actions.cwnd_packets
        usable = _usable(actions)
        if not usable.all():
            self.metrics.dropped[tier, "not_a_rate"] += int(np.count_nonzero(~usable))
        order = np.flatnonzero(usable)
        if not len(order):
            return []
        order = order[np.argsort(self._table.session[asked.slot[order]], kind="stable")]
        asked = asked.only(order)
        waited_ns = started_ns - asked.arrival_ns
        self.metrics.answered(tier, self._clock() - asked.arrival_ns, compute_ns)
        columns: dict[str, NDArray[Any]] = {
            "flow": self._table.agent_slot[asked.slot],
            "generation": self._table.generation[asked.slot],
            "window": asked.window,
            "pacing_rate_bps": rate[order],
            "cwnd_packets": cwnd[order],
            "queue_ns": waited_ns,
            "reasons": reasons[order],
        }
        owner = self._table.session[asked.slot]
        starts = np.concatenate(([0], np.flatnonzero(np.diff(owner)) + 1))
        newest = np.maximum.reduceat(asked.sequence, starts).tolist()
        outgoing: Outgoing = []
        messages = col.cut(columns, col.DECISIONS, starts.tolist())
        for index, sequence, packed in zip(owner[starts].tolist(), newest, messages, strict=True):
            decisions = pb.DecisionBatch(
                sequence=sequence, tier=tier, compute_ns=compute_ns, **packed
            )
            outgoing.append((self.streams.session(index), pb.ServerMessage(decisions=decisions)))
        return outgoing

    def _rejected(self, rejections: Rejections) -> Outgoing:
        outgoing: Outgoing = []
        for session, counts in rejections.by_session.items():
            self.metrics.rejected.update(counts)
            message = pb.Rejected(sequence=session.sequence, count=counts)
            outgoing.append((session, pb.ServerMessage(rejected=message)))
        return outgoing

    def disconnect(self, session: Session) -> None:
        """The stream ended: its flows close."""
        self.streams.disconnect(session)
        if not self.pending:  # else the next tick
            self._forget_closed()

    def _forget_closed(self) -> None:
        slots = self._table.recycle()
        if len(slots):
            self._history.forget(slots)
            self.scheduler.forget(slots.tolist())
            if self._inputs is not None:
                self._inputs.forget(slots)
            self._competition.forget(slots)
            self._reasons[slots] = 0
            self._scheduled[slots] = self._by_model[slots] = False
            for lane in self.lanes.values():
                lane.queue.forget(slots)
            for tier in (*self._light.values(), *(lane.tier for lane in self.lanes.values())):
                tier.forget(slots.tolist())
        self.metrics.flows = self._table.open_flows
        self.metrics.queue = {name: len(lane.queue) for name, lane in self.lanes.items()}
