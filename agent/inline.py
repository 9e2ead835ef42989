"""A policy server's core in the agent's own process, for virtual time, in which computing takes
none: every answer comes as late as it was measured to come elsewhere.

No socket, no thread and no clock but the agent's, so that the same observations have the same
answers at the same times.
"""

import heapq
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from agent import codec
from agent.answers import Answers
from agent.batch import Batch
from agent.config import AgentConfig
from agent.errors import AgentError
from agent.latency import draw_ns
from policy.api import Actions
from policy.errors import NoDecision, PolicyError
from policy.server import kept, models
from policy.server.config import read
from policy.server.core import Core
from policy.server.inputs import opened
from policy.server.lanes import Job
from policy.server.metrics import Metrics
from policy.server.outgoing import Outgoing


class InlineClient:
    """See `agent.agent.Client`. Rules answer when their latency has passed; a model takes one batch
    at a time, as in the server, so that what comes meanwhile waits.
    """

    def __init__(self, config: AgentConfig, core: Core, clock: Callable[[], int]) -> None:
        """core: of a server whose models are in this process. Raises PolicyError if it does not
        have the policy that is asked for.
        """
        self._config, self._core, self._clock = config, core, clock
        self._session, message = core.streams.connect(codec.hello(config).hello)
        welcome = message.welcome
        self._sequence, self._order = 0, count()
        # By the time at which they end; `order` keeps what ends together in order.
        self._computing: list[tuple[int, int, Job, Actions | None]] = []
        self._answered: list[tuple[int, int, Answers]] = []
        self._max_records = max(1, welcome.max_records)
        self._events = [(clock(), "server-connected", f"inline, policy {welcome.policy}")]
        self.served: dict[str, Any] = codec.served(welcome, {})
        self.connected = True

    def send(self, batch: Batch, now_ns: int) -> None:
        """Decide at once; the answers come later."""
        now_ns = max(now_ns, self._clock())  # records have come since the turn began
        self._finish(now_ns)
        for part in codec.split(batch, self._max_records):
            self._sequence += 1
            message = codec.encode(part, self._sequence, now_ns, self._config.objective)
            self._core.streams.receive(self._session, message.state, now_ns)
        # Records alone wait for the next window: nobody waits for an answer.
        if len(batch.windows) or batch.closes:
            self._take(self._core.tick(now_ns), now_ns, computed=False)
            self._compute(now_ns)

    def receive(self) -> Sequence[Answers]:
        """See Client."""
        if not self._computing and not self._answered:
            return ()
        now_ns = self._clock()
        self._finish(now_ns)
        come = []
        while self._answered and self._answered[0][0] <= now_ns:
            come.append(heapq.heappop(self._answered)[2])
        return come

    def events(self) -> Sequence[tuple[int, str, str]]:
        """See Client."""
        noted, self._events = self._events, []
        return noted

    def wait_ns(self) -> int | None:
        """How long until an answer comes or a model has computed; None: nothing is under way."""
        heads = [queue[0][0] for queue in (self._computing, self._answered) if queue]
        return max(0, min(heads) - self._clock()) if heads else None

    def _compute(self, now_ns: int) -> None:
        """Give every idle model what waits for it."""
        for name, lane in self._core.lanes.items():
            job = self._core.next_job(name, now_ns)
            if job is None:
                continue
            try:
                actions: Actions | None = lane.tier.decide(job.batch, now_ns)
            except NoDecision as error:
                print(f"tier {name} failed on {len(job.batch)} flows: {error}", file=sys.stderr)
                actions = None
            done_ns = now_ns + self._latency_ns(name, job.batch.flow[0], job.asked.window)
            heapq.heappush(self._computing, (done_ns, next(self._order), job, actions))

    def _finish(self, now_ns: int) -> None:
        """Take what models have computed by then; each goes on with what has come meanwhile."""
        while self._computing and self._computing[0][0] <= now_ns:
            done_ns, _, job, actions = heapq.heappop(self._computing)
            self._take(self._core.finish(job, actions, done_ns), done_ns, computed=True)
            self._compute(done_ns)

    def _take(self, outgoing: Outgoing, now_ns: int, *, computed: bool) -> None:
        """computed: the latency of the tier has passed."""
        for _, message in outgoing:
            if message.WhichOneof("message") == "rejected":
                counts = sorted(message.rejected.count.items())
                text = ", ".join(f"{reason} {number}" for reason, number in counts)
                self._events.append((now_ns, "rejected", text))
                continue
            answers = codec.decode(message.decisions, now_ns, self._config.slots)
            if not computed:
                took_ns = self._latency_ns(message.decisions.tier, answers.slot[0], answers.window)
                answers = codec.decode(message.decisions, now_ns + took_ns, self._config.slots)
            heapq.heappush(self._answered, (answers.received_ns, next(self._order), answers))

    def _latency_ns(self, tier: str, slot: Any, windows: Any) -> int:
        """Of a batch that answers these windows, the first of which is of the flow in the slot."""
        latency = self._config.latency_ns.get(tier)
        return draw_ns(latency, len(windows), int(slot), int(windows[0]))


@contextmanager
def inline(config: AgentConfig, settings: Path, clock: Callable[[], int]) -> Iterator[InlineClient]:
    """A client with a policy server of these settings (JSON or YAML) inside. Raises AgentError."""
    try:
        server = read(settings)
        limits = server.limits.model_copy(
            update={"flows": config.slots, "flows_per_stream": config.slots}
        )
        server = server.model_copy(update={"limits": limits})
        with (
            models.loaded(server, apart=False) as (server, tiers, note),
            opened(server.log_inputs, limits.flows, server.log_inputs_mib << 20) as inputs,
        ):
            if note:
                print(f"policy: {note}", file=sys.stderr)
            core = Core(server, tiers, Metrics(), clock, inputs)
            kept.restore(core.scheduler, server.scheduler_state)
            yield InlineClient(config, core, clock)
    except PolicyError as error:
        raise AgentError(f"inline: {error}") from error
