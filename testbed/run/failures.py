"""What a scenario's failures do, when: a timeline, and the hands that break and mend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.files import FailureEvent
from testbed.controllers.server import ServerProcess
from testbed.network import Network
from testbed.parts import Failure


@dataclass(frozen=True)
class Moment:
    """Something breaks (or is mended) so long after the run's start."""

    at_ns: int
    failure: Failure
    breaks: bool


def timeline(failures: Sequence[Failure]) -> list[Moment]:
    """All moments in order. A failure with ``every`` breaks and is mended in turns, and whatever
    has a stop is whole from then on; a killed worker is started anew by its server.
    """
    moments = []
    for failure in failures:
        stop_ns, every_ns = failure.stop_ns, failure.every_ns
        if stop_ns is None or every_ns is None:
            turns = [failure.at_ns]
        else:
            turns = list(range(failure.at_ns, stop_ns, every_ns))
        moments += [Moment(at, failure, turn % 2 == 0) for turn, at in enumerate(turns)]
        if stop_ns is not None and len(turns) % 2 == 1:
            moments.append(Moment(stop_ns, failure, False))
    return sorted(moments, key=lambda moment: moment.at_ns)


class Breaker:
    """Breaks and mends a cell's network and policy server by the clock."""

    def __init__(
        self, failures: Sequence[Failure], network: Network, server: ServerProcess
    ) -> None:
        """server: the run's own; nothing of it is killed where it was never started."""
        self._left = timeline(failures)
        self._network, self._server = network, server
        self._broken: list[str] = []  # links, by name
        self.events: list[FailureEvent] = []

    @property
    def next_ns(self) -> int | None:
        """When the next one is due, after the run's start; None: no more."""
        return self._left[0].at_ns if self._left else None

    def advance(self, now_ns: int) -> None:
        """Do what is due ``now_ns`` after the run's start. Raises UserError."""
        while self._left and self._left[0].at_ns <= now_ns:
            moment = self._left.pop(0)
            what = self._do(moment)
            self.events.append(
                FailureEvent(
                    at_ns=now_ns, kind=moment.failure.kind, breaks=moment.breaks, what=what
                )
            )

    def end(self) -> None:
        """The server answers again, for the cells that follow; the network ends with its cell.
        Raises UserError.
        """
        self._server.wait_ready()

    def _do(self, moment: Moment) -> str:
        failure = moment.failure
        if failure.kind == "link":
            assert failure.link is not None
            before = list(self._broken)
            if moment.breaks:
                self._broken.append(failure.link)
            else:
                self._broken.remove(failure.link)
            self._network.routing.change(set(before), set(self._broken))
            return failure.link
        if failure.kind == "worker":
            return f"{self._server.kill_workers()} processes" if moment.breaks else ""
        if moment.breaks:
            return f"{self._server.kill()} processes"
        self._server.revive()
        return "started"
