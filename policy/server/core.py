"""The server without its sockets and threads: messages in, decisions out. Pure; `now_ns` is the
server's clock.

- `streams.receive` checks a StateBatch, opens and closes flows, and keeps the rest for a tick;
- `tick` folds all that came, lets the light tier answer and APC admit; it returns messages;
- `next_job` gives the next batch for a model tier that is idle; `finish` takes its answer and
  returns messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch, Policy, PolicyContext
from policy.registry import create
from policy.scheduler.base import Scheduler
from policy.server.config import ServerConfig
from policy.server.difficult import DifficultFlows
from policy.server.flows import Asked, Session
from policy.server.inputs import InputLog
from policy.server.intake import Closed, Rejections, closings_of, records_of
from policy.server.lanes import Job, Lane, lane
from policy.server.metrics import Metrics
from policy.server.outgoing import Outgoing, decisions, rejected, usable
from policy.server.streams import APC, Streams
from policy.tasks.congestion.competition import Competition
from policy.tasks.congestion.cwnd import helped
from policy.tasks.congestion.fields import HISTORY, LEVELS
from policy.tasks.congestion.history import History
from policy.tasks.congestion.windows import WindowFolder, rounds

Ints = NDArray[np.int64]
_MSS = LEVELS.index("mss_bytes")


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
        self._light: dict[str, Policy] = {}
        self._folder, self._history = WindowFolder(slots), History(slots)
        self.streams = Streams(config, list(models), metrics, self._opened)
        self._table = self.streams.table
        self._difficult = self.lanes[config.difficult] if config.difficult else None
        self._apc = DifficultFlows(config, self._difficult, self.streams, metrics)
        self._competition = Competition(slots, config.competition)
        metrics.competing = self._competition.competing
        self._inputs = inputs

    @property
    def scheduler(self) -> Scheduler:
        """APC's."""
        return self._apc.scheduler

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
            actions = self._helped(light, batch, light.decide(batch, now_ns))
            compute_ns = self._clock() - started_ns
            reasons = (
                self._apc.schedule(batch, now_ns)
                if policy == APC
                else np.zeros(len(flows), np.uint8)
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

    def _helped(self, tier: Policy, batch: FlowBatch, actions: Actions) -> Actions:
        """Tiers that keep queues short would starve beside flows that fill them, where ACKs come
        together, on routes that flap, and after a pause.
        """
        if not getattr(tier, "yields", False):
            return actions
        return self._competition.applied(batch, helped(actions, batch, self._folder))

    def light(self, name: str) -> Policy:
        """A light tier, built when first asked for."""
        if name not in self._light:
            self._light[name] = create(
                name, PolicyContext(self._config.limits.flows, seed=self._config.seed)
            )
        return self._light[name]

    # Model tiers

    def next_job(self, name: str, now_ns: int) -> Job | None:
        """What the idle lane is to compute next; None if nothing waits."""
        lane = self.lanes[name]
        if lane.busy or not len(lane.queue):
            return None
        if lane is self._difficult and not self.streams.alone(name):
            slots = self._apc.take(lane, now_ns)
        else:
            slots = lane.queue.take_all(now_ns)
        if not len(slots):
            return None
        lane.busy = True
        batch = self._history.batch(slots, self._folder.levels[slots, _MSS], lane.history)
        rows = None if self._inputs is None else self._inputs.rows(slots)
        return Job(lane, batch, self._table.asked(slots), self._apc.reasons(slots), now_ns, rows)

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
            self._apc.late(int(np.count_nonzero(late)))
        drop = self.streams.collaborating(slots) & (late | superseded)
        for reason, mask in (
            ("flow_ended", ~live),
            ("late", drop & late),
            ("superseded", drop & ~late),
        ):
            if count := int(np.count_nonzero(mask)):
                self.metrics.dropped[name, reason] += count
        actions = self._helped(lane.tier, job.batch, actions)
        kept = np.flatnonzero(live & ~drop)
        chosen = Actions(actions.pacing_rate_bps[kept], actions.cwnd_packets[kept])
        self._apc.answered(slots[kept], usable(chosen))
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
        """Messages for the actions that are rates at all; the others are counted."""
        good = usable(actions)
        if not good.all():
            self.metrics.dropped[tier, "not_a_rate"] += int(np.count_nonzero(~good))
        chosen = np.flatnonzero(good)
        if not len(chosen):
            return []
        asked = asked.only(chosen)
        actions = Actions(actions.pacing_rate_bps[chosen], actions.cwnd_packets[chosen])
        self.metrics.answered(tier, self._clock() - asked.arrival_ns, compute_ns)
        return decisions(
            self.streams, tier, asked, actions, reasons[chosen], started_ns, compute_ns
        )

    def _rejected(self, rejections: Rejections) -> Outgoing:
        for counts in rejections.by_session.values():
            self.metrics.rejected.update(counts)
        return rejected(rejections)

    def disconnect(self, session: Session) -> None:
        """The stream ended: its flows close."""
        self.streams.disconnect(session)
        if not self.pending:  # else the next tick
            self._forget_closed()

    def _forget_closed(self) -> None:
        slots = self._table.recycle()
        if len(slots):
            self._history.forget(slots)
            self._apc.forget(slots)
            if self._inputs is not None:
                self._inputs.forget(slots)
            self._competition.forget(slots)
            for lane in self.lanes.values():
                lane.queue.forget(slots)
            for tier in (*self._light.values(), *(lane.tier for lane in self.lanes.values())):
                tier.forget(slots.tolist())
        self.metrics.flows = self._table.open_flows
        self.metrics.queue = {name: len(lane.queue) for name, lane in self.lanes.items()}
