"""Who chooses the level of the next chunk: a rule of the player's own, or the policy server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import grpc

from policy.protocol.levels import request_of
from policy.tasks.abr.measured import measured, record
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.session import Sessions
from testbed.traffic.abr import DASH_JS, asked_of_server
from testbed.traffic.ask import Refusals, connect
from testbed.traffic.dash.options import DashOptions

_REHEARSAL_S = 5.0


@dataclass(frozen=True)
class Decision:
    """The level, who chose it (rule, policy or fallback), and how long that took."""

    level: int
    source: str
    elapsed_ns: int


class Decider(Protocol):
    """Chooses for one session, before every chunk but the first."""

    def choose(self, session: Sessions) -> Decision: ...

    def close(self) -> None: ...


class Local:
    """A rule in the player."""

    def __init__(self, rule: str) -> None:
        self._rule, self._begun = make_rule(rule), False

    @property
    def remembers(self) -> bool:
        """Whether the rule must be asked before every chunk."""
        return not isinstance(self._rule, Stateless)

    def choose(self, session: Sessions) -> Decision:
        began_ns = time.monotonic_ns()
        if not self._begun:
            self._rule.begin(session)
            self._begun = True
        level = int(self._rule.decide(session)[0])
        return Decision(level, "rule", time.monotonic_ns() - began_ns)

    def close(self) -> None:
        """Nothing to end."""


class Served:
    """A policy on the server; where no valid answer comes in time, the fallback rule's."""

    def __init__(self, policy: str, address: str, deadline_s: float, fallback: str) -> None:
        """Connects; a server that does not answer yet is asked again before every chunk."""
        self._policy, self._deadline_s = policy, deadline_s
        self._local = Local(fallback)
        self._channel, self._stub = connect(address)
        self._refusals = Refusals()

    def choose(self, session: Sessions) -> Decision:
        began_ns = time.monotonic_ns()
        local = self._local.choose(session).level if self._local.remembers else None
        level = self._ask(session, self._deadline_s)
        source = "fallback" if level is None else "policy"
        if level is None:
            level = self._local.choose(session).level if local is None else local
        return Decision(level, source, time.monotonic_ns() - began_ns)

    def rehearse(self, session: Sessions) -> None:
        """Asks once with time enough, so that the server has planned this video."""
        self._ask(session, max(self._deadline_s, _REHEARSAL_S))

    def _ask(self, session: Sessions, deadline_s: float) -> int | None:
        try:
            request = request_of(session, self._policy)
            level = int(self._stub.Choose(request, timeout=deadline_s).level)
        except grpc.RpcError as error:
            self._refusals.tell(error)
            return None
        return level if level < session.video.levels else None

    def close(self) -> None:
        """End the connection."""
        self._channel.close()


def decider(options: DashOptions, policy_server: str) -> Decider:
    """The one that the options name. Raises PolicyError, UserError."""
    served = asked_of_server(options.abr)
    if served is not None:
        chooses = Served(served, policy_server, options.deadline_ms / 1000, options.fallback)
        chooses.rehearse(_rehearsal(options))
        return chooses
    return Local(_local_rule(options))


def _local_rule(options: DashOptions) -> str:
    """The rule that runs in the player."""
    elsewhere = options.abr == DASH_JS or asked_of_server(options.abr) is not None
    return options.fallback if elsewhere else options.abr


def rehearse(options: DashOptions) -> None:
    """Let the rule decide once, so that it is compiled before the clock runs."""
    Local(_local_rule(options)).choose(_rehearsal(options))


def _rehearsal(options: DashOptions) -> Sessions:
    """A session whose first chunk has just arrived."""
    session = measured(options.played, options.measure, options.buffer_cap_s * 1000)
    record(session, options.start_level, float(options.played.sizes_bytes[0, 0]), 1000.0, 50.0)
    return session
