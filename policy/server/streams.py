"""The streams of all agents: what each may say, and which flows it has open. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError
from policy.objective import BALANCED
from policy.protocol import VERSION
from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb
from policy.registry import LIGHT
from policy.server.config import ServerConfig
from policy.server.flows import MAX_AGENT_SLOT, FlowTable, Session
from policy.server.identity import identities
from policy.server.intake import Part, Rejections
from policy.server.metrics import Metrics
from policy.tasks.congestion.fields import HISTORY

Ints = NDArray[np.int64]
APC = "apc"
_AGENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class ProtocolError(PolicyError):
    """The agent broke the protocol; its stream ends."""


class LimitError(PolicyError):
    """The agent asked for more than the server's limits allow; its stream ends."""


def _objectives(opens: pb.Opens, count: int) -> list[float]:
    """What each flow wants. Raises ProtocolError for a column of another length."""
    if not opens.objective:
        return [BALANCED] * count
    if len(opens.objective) != count * col.OBJECTIVE.itemsize:
        raise ProtocolError(
            f"Opens.objective: {len(opens.objective)} bytes, expected {count} elements of "
            f"{col.OBJECTIVE.itemsize}"
        )
    wanted: list[float] = np.frombuffer(opens.objective, col.OBJECTIVE).tolist()
    return wanted


class Streams:
    """Takes messages apart and keeps what the next tick is to fold.

    models: names of the model tiers that are served; on_open: called with the slots of new flows,
    the starts of their first windows, int64[n] each, and their objectives, float64[n].
    """

    def __init__(
        self,
        config: ServerConfig,
        models: list[str],
        metrics: Metrics,
        on_open: Callable[[Ints, Ints, NDArray[np.float64]], None],
    ) -> None:
        self.table = FlowTable(config.limits.flows)
        self.parts: list[Part] = []
        self.rejections = Rejections()
        self._sessions: list[Session | None] = []
        self._config, self._models, self._metrics, self._on_open = config, models, metrics, on_open
        self._checkpoints = identities(config)

    def connect(self, hello: pb.Hello) -> tuple[Session, pb.ServerMessage]:
        """A new stream and its Welcome. Raises ProtocolError or LimitError."""
        if hello.version != VERSION:
            raise ProtocolError(
                f"protocol version {hello.version} is not known; this server speaks {VERSION}"
            )
        if not _AGENT_ID.fullmatch(hello.agent_id):
            raise ProtocolError(
                f"agent_id {hello.agent_id[:80]!r}: use 1 to 64 characters of [A-Za-z0-9._:-]"
            )
        policy = hello.policy or APC
        if policy != APC and policy not in LIGHT and policy not in self._models:
            known = ", ".join((APC, *LIGHT, *self._models))
            raise ProtocolError(
                f"policy {policy[:80]!r} is not served here; this server has {known}"
            )
        if not 5_000_000 <= hello.window_ns <= 10_000_000_000:
            raise ProtocolError(f"window_ns {hello.window_ns} is not within 5e6 .. 10e9")
        if not 1_000_000 <= hello.deadline_ns <= 60_000_000_000:
            raise ProtocolError(f"deadline_ns {hello.deadline_ns} is not within 1e6 .. 60e9")
        if self._metrics.streams >= self._config.limits.streams:
            raise LimitError(f"the server's limit of {self._metrics.streams} streams is reached")
        index = next((i for i, s in enumerate(self._sessions) if s is None), len(self._sessions))
        session = Session(index, hello.agent_id, policy, hello.window_ns, hello.deadline_ns)
        if index == len(self._sessions):
            self._sessions.append(None)
        self._sessions[index] = session
        self._metrics.streams += 1
        welcome = pb.Welcome(
            version=VERSION,
            policy=policy,
            light_tier=self._config.light if policy == APC else "",
            difficult_tier=(self._config.difficult or "") if policy == APC else "",
            max_flows=self._config.limits.flows_per_stream,
            max_records=self._config.limits.records_per_batch,
            checkpoints=self._checkpoints_of(policy),
        )
        return session, pb.ServerMessage(welcome=welcome)

    def _checkpoints_of(self, policy: str) -> dict[str, str]:
        """Those that can answer a stream under this policy."""
        tiers = (self._config.light, self._config.difficult) if policy == APC else (policy,)
        return {tier: sha for tier, sha in self._checkpoints.items() if tier in tiers}

    def disconnect(self, session: Session) -> None:
        """The stream ended: its flows close."""
        for agent_slot in np.flatnonzero(session.slots >= 0).tolist():
            self.table.close(session, agent_slot)
        self.parts = [part for part in self.parts if part.session is not session]
        self.rejections.by_session.pop(session, None)
        self._sessions[session.index] = None
        self._metrics.streams -= 1

    def receive(self, session: Session, state: pb.StateBatch, now_ns: int) -> None:
        """Take a batch. Raises ProtocolError for columns that do not fit together, LimitError for
        too many records.
        """
        try:
            records = col.raw(state.records, col.ACK_RECORDS)
            windows = col.raw(state.windows, col.WINDOWS)
            opens = col.raw(state.opens, col.OPENS)
            closes = col.raw(state.closes, col.CLOSES)
        except col.ColumnError as error:
            raise ProtocolError(str(error)) from None
        limit = self._config.limits.records_per_batch
        for name, raw in (
            ("records", records),
            ("opens", opens),
            ("windows", windows),
            ("closes", closes),
        ):
            if raw.length > limit:
                raise LimitError(f"{raw.length} {name} in a batch; the server's limit is {limit}")
        if state.sequence <= session.sequence or state.sequence >= 2**63:
            self.rejections.add(session, "replayed_batch")
            return
        session.sequence = state.sequence
        if opens.length:
            self._open(session, state.opens, state.sent_ns)
        slots = session.lookup(records, windows)
        self.parts.append(
            Part(session, state.sequence, state.sent_ns, now_ns, records, windows, slots)
        )
        if closes.length:
            self._close(session, closes)

    def _close(self, session: Session, closes: col.Raw) -> None:
        flows = np.frombuffer(closes.data[0], "<u4").tolist()
        for agent_slot, slot in zip(flows, session.lookup(closes).tolist(), strict=True):
            if slot >= 0 and session.slots[agent_slot] == slot:
                self.table.close(session, agent_slot)
            else:
                self.rejections.add(session, "unknown_flow")

    def _open(self, session: Session, opens: pb.Opens, sent_ns: int) -> None:
        limit = self._config.limits.flows_per_stream
        columns = [each.tolist() for each in col.unpack(opens, col.OPENS).values()]
        slots, starts, wanted = [], [], []
        for agent_slot, generation, open_ns, objective in zip(
            *columns, _objectives(opens, len(columns[0])), strict=True
        ):
            known = 0 <= objective <= 1 and 0 < open_ns <= sent_ns
            if generation == 0 or agent_slot >= MAX_AGENT_SLOT or not known:
                self.rejections.add(session, "bad_open")
                continue
            session.reach(agent_slot)
            if session.slots[agent_slot] >= 0:
                if generation <= session.generations[agent_slot]:
                    self.rejections.add(session, "stale_generation")
                    continue
                self.table.close(session, agent_slot)
            slot = None
            if session.open_flows < limit:
                slot = self.table.open(session, agent_slot, generation)
            if slot is None:
                self.rejections.add(session, "flow_limit")
                continue
            # A flow met in mid-life begins with the window that is open now, or nearly.
            age = max((sent_ns - open_ns) // session.window_ns - HISTORY, 0)
            slots.append(slot)
            starts.append(open_ns + age * session.window_ns)
            wanted.append(objective)
        if slots:
            self._on_open(np.array(slots), np.array(starts), np.array(wanted))
            self.table.end_ns[slots] = starts

    def session(self, index: int) -> Session:
        """The session at this place."""
        session = self._sessions[index]
        assert session is not None
        return session

    def by_policy(self, slots: Ints) -> dict[str, Ints]:
        """These open flows by who decides for them."""
        names = list(dict.fromkeys(session.policy for session in self._sessions if session))
        if len(names) == 1:
            return {names[0]: slots}
        number = np.array(
            [names.index(session.policy) if session else -1 for session in self._sessions]
        )
        wanted = number[self.table.session[slots]]
        return {
            name: slots[wanted == place]
            for place, name in enumerate(names)
            if (wanted == place).any()
        }

    def collaborating(self, slots: Ints) -> NDArray[np.bool_]:
        """Which of these open flows are under APC."""
        under = np.array(
            [session is not None and session.policy == APC for session in self._sessions]
        )
        chosen: NDArray[np.bool_] = under[self.table.session[slots]]
        return chosen

    def patience_ns(self, slots: Ints) -> Ints:
        """How long after its batch's arrival the answer on each of these open flows is of use."""
        patience = np.array(
            [session.deadline_ns if session else 0 for session in self._sessions], np.int64
        )
        return patience[self.table.session[slots]]

    def alone(self, policy: str) -> bool:
        """Whether some agent wants this tier alone."""
        return any(session is not None and session.policy == policy for session in self._sessions)
