"""Answers held for a while: in virtual time, where computing takes none, a decision takes what it
took elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from agent.agent import Client
from agent.answers import Answers
from agent.batch import Batch


def draw_ns(quantiles_ns: Sequence[int], slot: int, window: int) -> int:
    """A latency drawn from a distribution.

    Args:
        quantiles_ns: Its quantiles, evenly spaced from the least to the most; one: a constant.
        slot, window: Whose answer it is. The draw depends on them alone, so that a repeated run has
            the same latencies.
    """
    share = np.random.Generator(np.random.PCG64([slot, window])).random()
    places = np.linspace(0.0, 1.0, len(quantiles_ns))
    return round(float(np.interp(share, places, quantiles_ns)))


class HeldAnswers:
    """A `Client` that gives the answers of another one later. Answers of a tier without a known
    latency come at once. Answers that came together are held together.
    """

    def __init__(
        self,
        client: Client,
        latency_ns: Mapping[str, Sequence[int]],
        clock: Callable[[], int],
    ) -> None:
        """``latency_ns``: tier -> quantiles, see `draw_ns`."""
        self._client, self._latency_ns, self._clock = client, latency_ns, clock
        self._held: list[Answers] = []

    @property
    def connected(self) -> bool:
        """See Client."""
        return self._client.connected

    def send(self, batch: Batch, now_ns: int) -> None:
        """See Client."""
        self._client.send(batch, now_ns)

    def receive(self) -> Sequence[Answers]:
        """Answers whose time has come; they count as received when it came."""
        for answers in self._client.receive():
            quantiles_ns = self._latency_ns.get(str(answers.tier[0])) if len(answers) else None
            hold_ns = (
                draw_ns(quantiles_ns, int(answers.slot[0]), int(answers.window[0]))
                if quantiles_ns
                else 0
            )
            self._held.append(replace(answers, received_ns=answers.received_ns + hold_ns))
        self._held.sort(key=lambda answers: answers.received_ns)
        now_ns = self._clock()
        due = [answers for answers in self._held if answers.received_ns <= now_ns]
        self._held = self._held[len(due) :]
        return due

    def events(self) -> Sequence[tuple[int, str, str]]:
        """See Client."""
        return self._client.events()

    def wait_ns(self) -> int | None:
        """How long until the next answer is due; None: none is held."""
        return max(0, self._held[0].received_ns - self._clock()) if self._held else None
