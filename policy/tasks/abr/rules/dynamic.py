"""DYNAMIC, the default of dash.js (Spiteri et al., MMSys 2018): throughput rule at first, BOLA
with a buffer.
"""

from __future__ import annotations

import numpy as np

from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.rules.bola import Bola
from policy.tasks.abr.rules.rate import Rate
from policy.tasks.abr.session import Sessions

BUFFER_MS = 10_000.0


class Dynamic:
    """Changes to BOLA above 10 s of buffer once BOLA wants no less, and back below where BOLA
    wants less.
    """

    def begin(self, sessions: Sessions) -> None:
        self._rate, self._bola = Rate(), Bola()
        self._rate.begin(sessions)
        self._bola.begin(sessions)
        self._by_bola = np.zeros(len(sessions), bool)

    def decide(self, sessions: Sessions) -> Ints:
        self._rate.average.push(sessions.state)
        bola = self._bola.choose(sessions, self._rate.average)
        rate = self._rate.choose(sessions)
        buffer = sessions.state.buffer_ms
        back = self._by_bola & (buffer < BUFFER_MS) & (bola < rate)
        over = ~self._by_bola & (buffer > BUFFER_MS) & (bola >= rate)
        self._by_bola = (self._by_bola & ~back) | over
        return np.where(self._by_bola, bola, rate)
