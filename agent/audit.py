"""What records that never came would hide: flows unknown or ended, records and flows lost."""

import numpy as np

from agent.batch import Batcher
from agent.datapath import Datapath
from agent.log import AgentLog

INTERVAL_NS = 1_000_000_000
_RECLAIM_NS = 60_000_000_000


class Audit:
    """Compares the batcher with the datapath's own table, and reports what was lost since."""

    def __init__(self, datapath: Datapath, batcher: Batcher, log: AgentLog) -> None:
        self._datapath, self._batcher, self._log = datapath, batcher, log
        self._dropped, self._refused = datapath.dropped(), datapath.refused()
        self._reclaimed: dict[int, int] = {}

    def run(self, now_ns: int) -> None:
        """Heal what missing records hid, and report losses and silences."""
        table = self._datapath.flows
        suspects = np.flatnonzero((table["live"] != 0) | (self._batcher.generation != 0))
        self._batcher.reconcile(table, suspects.tolist(), now_ns)
        for flow, slot, generation, start_ns, stop_ns in self._batcher.silences:
            detail = f"slot {slot} generation {generation} since {start_ns}"
            self._log.event(stop_ns, flow, "quiet", detail)
        self._batcher.silences.clear()
        dropped, refused = self._datapath.dropped(), self._datapath.refused()
        if dropped > self._dropped:
            self._log.event(now_ns, -1, "overrun", f"{dropped - self._dropped} records dropped")
            self._dropped = dropped
        if refused > self._refused:
            self._log.event(now_ns, -1, "refused", f"{refused - self._refused} flows found no slot")
            self._refused = refused
            self._reclaim(now_ns)

    def _reclaim(self, now_ns: int) -> None:
        """Free the slots of flows that have been silent for long, once each."""
        live = self._batcher.live()
        for slot in live[self._batcher.last_ns[live] + _RECLAIM_NS < now_ns].tolist():
            generation = int(self._batcher.generation[slot])
            if self._reclaimed.get(slot) != generation:
                self._reclaimed[slot] = generation
                self._datapath.free_slot(slot)
