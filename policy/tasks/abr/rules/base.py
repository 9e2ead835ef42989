"""What a policy for adaptive bitrate streaming is."""

from __future__ import annotations

from typing import Protocol

from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.session import Sessions


class Abr(Protocol):
    """Chooses the level of the next chunk for many sessions at a time.

    `begin` is called once for sessions whose chunk 0 is there, then `decide` before every further
    chunk, with all sessions in the same order. `decide` returns levels [n] and changes nothing in
    `sessions`.
    """

    def begin(self, sessions: Sessions) -> None: ...

    def decide(self, sessions: Sessions) -> Ints: ...


class Stateless:
    """A policy that needs no memory beyond the histories of the sessions."""

    def begin(self, sessions: Sessions) -> None:
        """Nothing to set up."""
