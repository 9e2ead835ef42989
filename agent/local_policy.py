"""The policy in force while the server is silent. Pure.

Off a queue, a flow is paced a little above what its path delivers. The path's rate is the largest
delivery rate of the last windows, as in BBR (Cardwell et al., "BBR: Congestion-Based Congestion
Control", ACM Queue 2016): a flow that its application limits, or a link whose rate jitters, shows
less than the path carries in most windows.

Congestion is loss, or a queue that stood through the whole window: even the window's smallest RTT
was well above the path's (compare the standing RTT of Arun and Balakrishnan, "Copa", NSDI 2018).
Jitter does not stand. A congested flow is set to 0.85 of what is delivered now (Carlucci et al.,
"Analysis and Design of the Google Congestion Control for WebRTC", MMSys 2016).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.layout import Flag, Records, join

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

KEPT_WINDOWS = 10
"""The path's rate is the largest delivery rate of so many windows."""
PROBE = 1.25
"""Pacing over the path's rate while no queue stands."""
DECREASE = 0.85
LOSS_LIMIT = 0.02
QUEUE_SHARE = 0.5
"""Of the path's RTT that a standing queue may take, and …"""
QUEUE_FLOOR_US = 20_000.0
"""… this much in any case."""
CWND_BDPS = 2.0
RETURN_SHARE = 1 / 8
"""Of the largest delivery rate that is remembered: no flow off a queue is paced below it …"""
MEMORY_S = 10.0
"""… and so long it takes to forget half of that rate. A path that was dead for seconds has shown
nothing for many windows, and a flow that begins anew with single packets needs seconds more.
"""
MIN_CWND_PACKETS = 4.0
_UNREAD_BATCHES = 64
_NEWEST = (
    "at_ns",
    "delivered_bytes",
    "lost_bytes",
    "srtt_us",
    "min_rtt_us",
    "mss_bytes",
    "inflight_packets",
    "pacing_rate_Bps",
)


@dataclass
class LocalPolicy:
    """State per slot of the table; `observe` every record, `decide` once per window."""

    slots: int

    def __post_init__(self) -> None:
        self._last: dict[str, Floats] = {name: np.zeros(self.slots) for name in _NEWEST}
        self._mark: dict[str, Floats] = {name: np.zeros(self.slots) for name in _NEWEST[:3]}
        self._standing_rtt_us: Floats = np.full(self.slots, np.inf)  # smallest since the mark
        self._network_limited = np.zeros(self.slots, bool)  # some ACK since the mark was
        self._delivery_bps: Floats = np.zeros((self.slots, KEPT_WINDOWS))
        self._place: Integers = np.zeros(self.slots, np.int64)
        self._most_bps: Floats = np.zeros(self.slots)  # delivered, of all windows, forgotten slowly
        self._unread: list[Records] = []

    def observe(self, records: Records) -> None:
        """Take the records into account. records: RECORD[n], oldest first."""
        self._unread.append(records)
        if len(self._unread) >= _UNREAD_BATCHES:
            self._read()

    def _read(self) -> None:
        """Put off until somebody asks: one pass over many records costs as much as over one."""
        records = join(self._unread)
        self._unread.clear()
        slots, first = np.unique(records["slot"][::-1], return_index=True)
        newest = records[len(records) - 1 - first]
        for name, column in self._last.items():
            column[slots] = newest[name]
        sampled = records[records["rtt_us"] > 0]
        np.minimum.at(self._standing_rtt_us, sampled["slot"], sampled["rtt_us"])
        self._network_limited[records["slot"][records["flags"] & Flag.APP_LIMITED == 0]] = True

    def open(self, slot: int, open_ns: int) -> None:
        """A new flow takes the slot."""
        self._read()
        columns = (*self._last.values(), *self._mark.values(), self._delivery_bps, self._most_bps)
        for column in (*columns, self._place):
            column[slot] = 0
        self._standing_rtt_us[slot], self._network_limited[slot] = np.inf, False
        self._mark["at_ns"][slot] = open_ns

    def commanded(self, slots: Integers) -> None:
        """The server's rates are in force: follow meanwhile what the path delivers."""
        self._read()
        self._close_window(slots)

    def _close_window(self, slots: Integers) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Remember the delivery rate since the last call, where it tells of the path.

        Returns the rate in bit/s (0: no ACK came) and whether the flow was congested.
        """
        last = {name: column[slots] for name, column in self._last.items()}
        seconds = (last["at_ns"] - self._mark["at_ns"][slots]) / 1e9
        delivered = last["delivered_bytes"] - self._mark["delivered_bytes"][slots]
        lost = last["lost_bytes"] - self._mark["lost_bytes"][slots]
        heard = (seconds > 0) & (delivered > 0)
        delivery_bps = np.divide(8 * delivered, seconds, out=np.zeros_like(seconds), where=heard)
        loss = np.divide(
            lost, lost + delivered, out=np.zeros_like(lost), where=lost + delivered > 0
        )
        # Not every source of records has RTT samples; the smoothed RTT is the next best.
        standing_us = self._standing_rtt_us[slots]
        standing_us = np.where(np.isfinite(standing_us), standing_us, last["srtt_us"])
        queue_limit_us = np.maximum(QUEUE_FLOOR_US, QUEUE_SHARE * last["min_rtt_us"])
        queued = standing_us - last["min_rtt_us"] > queue_limit_us
        congested = (loss > LOSS_LIMIT) | queued
        # What the application limited tells nothing of the path, unless it is more than the rest.
        most_bps = self._delivery_bps[slots].max(axis=1)
        tells = heard & (congested | self._network_limited[slots] | (delivery_bps > most_bps))
        told = slots[tells]
        self._delivery_bps[told, self._place[told]] = delivery_bps[tells]
        self._place[told] = (self._place[told] + 1) % KEPT_WINDOWS
        forgotten_bps = self._most_bps[slots] * 0.5 ** (np.maximum(seconds, 0) / MEMORY_S)
        self._most_bps[slots] = np.maximum(forgotten_bps, np.where(tells, delivery_bps, 0.0))
        silent = slots[~heard & (last["inflight_packets"] > 0)]
        self._delivery_bps[silent] *= DECREASE
        known = slots[last["at_ns"] > 0]
        for name, column in self._mark.items():
            column[known] = self._last[name][known]
        self._standing_rtt_us[slots], self._network_limited[slots] = np.inf, False
        return delivery_bps, congested

    def decide(self, slots: Integers) -> tuple[Floats, Floats]:
        """Close the window of each of `slots` and choose for the next.

        Returns pacing rates in bit/s, NaN for a flow that has never had an ACK, and cwnds in
        packets.
        """
        self._read()
        delivery_bps, congested = self._close_window(slots)
        path_bps = self._delivery_bps[slots].max(axis=1)
        mss_bytes = self._last["mss_bytes"][slots]
        min_rtt_s = np.maximum(self._last["min_rtt_us"][slots], 1) / 1e6
        srtt_s = np.maximum(self._last["srtt_us"][slots], 1) / 1e6
        # The packet per round trip lets a flow rise again from next to nothing.
        probe_bps = PROBE * path_bps + 8 * mss_bytes / srtt_s
        probe_bps = np.maximum(probe_bps, RETURN_SHARE * self._most_bps[slots])
        rate = np.where(congested & (delivery_bps > 0), DECREASE * delivery_bps, probe_bps)
        rate = np.where(mss_bytes > 0, rate, np.nan)
        packets = CWND_BDPS * path_bps * min_rtt_s / (8 * np.maximum(mss_bytes, 1))
        return rate, np.maximum(packets, MIN_CWND_PACKETS)
