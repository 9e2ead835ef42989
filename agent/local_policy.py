"""The policy in force while the server is silent: additive increase, decrease to what is being
delivered. Pure.

After the remote rate control of Google congestion control (Carlucci et al., "Analysis and Design of
the Google Congestion Control for WebRTC", MMSys 2016): a congested flow is set to 0.85 of its
delivery rate, others grow by 5 % a window, but never beyond 1.5 times their delivery rate. A window
without an ACK decays the rate by 0.85.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.layout import Records, join

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DECREASE = 0.85
INCREASE = 1.05
DELIVERY_HEADROOM = 1.5
LOSS_LIMIT = 0.02
QUEUE_SHARE = 0.25  # of the minimum RTT that may be spent queueing, and
QUEUE_FLOOR_US = 10_000.0  # this much in any case
CWND_BDPS = 2.0
MIN_CWND_PACKETS = 4.0
_UNREAD_BATCHES = 64


@dataclass
class LocalPolicy:
    """State per slot of the table; `observe` every record, `decide` once per window."""

    slots: int

    def __post_init__(self) -> None:
        columns = (
            "at_ns",
            "delivered_bytes",
            "lost_bytes",
            "srtt_us",
            "min_rtt_us",
            "mss_bytes",
            "pacing_rate_Bps",
        )
        self._last: dict[str, Floats] = {name: np.zeros(self.slots) for name in columns}
        self._mark: dict[str, Floats] = {name: np.zeros(self.slots) for name in columns[:3]}
        self._rate_bps: Floats = np.zeros(self.slots)
        self._unread: list[Records] = []

    def observe(self, records: Records) -> None:
        """Take the newest record of each flow into account. records: RECORD[n], oldest first."""
        self._unread.append(records)
        if len(self._unread) >= _UNREAD_BATCHES:
            self._read()

    def _read(self) -> None:
        """Put off until somebody asks: most records are never the newest by then."""
        records = join(self._unread)
        self._unread.clear()
        slots, first = np.unique(records["slot"][::-1], return_index=True)
        newest = records[len(records) - 1 - first]
        for name, column in self._last.items():
            column[slots] = newest[name]

    def open(self, slot: int, open_ns: int) -> None:
        """A new flow takes the slot."""
        self._read()
        for column in (*self._last.values(), *self._mark.values(), self._rate_bps):
            column[slot] = 0
        self._mark["at_ns"][slot] = open_ns

    def commanded(self, slots: Integers, rate_bps: Floats) -> None:
        """The server's rates are in force: start from them when it falls silent, and measure from
        here.
        """
        self._read()
        self._rate_bps[slots] = rate_bps
        self._set_mark(slots)

    def _set_mark(self, slots: Integers) -> None:
        heard = self._last["at_ns"][slots] > 0
        for name, column in self._mark.items():
            column[slots[heard]] = self._last[name][slots[heard]]

    def decide(self, slots: Integers) -> tuple[Floats, Floats]:
        """(pacing rate in bit/s, cwnd in packets) for each of `slots`. NaN for a flow that has
        never had an ACK.
        """
        self._read()
        last = {name: column[slots] for name, column in self._last.items()}
        seconds = (last["at_ns"] - self._mark["at_ns"][slots]) / 1e9
        delivered = last["delivered_bytes"] - self._mark["delivered_bytes"][slots]
        lost = last["lost_bytes"] - self._mark["lost_bytes"][slots]
        heard = (seconds > 0) & (delivered > 0)
        delivery_bps = np.divide(8 * delivered, seconds, out=np.zeros_like(seconds), where=heard)
        loss = np.divide(
            lost, lost + delivered, out=np.zeros_like(lost), where=lost + delivered > 0
        )
        queue_us = last["srtt_us"] - last["min_rtt_us"]
        congested = (loss > LOSS_LIMIT) | (
            queue_us > np.maximum(QUEUE_FLOOR_US, QUEUE_SHARE * last["min_rtt_us"])
        )
        # Before its first command a flow runs at the rate that the kernel chose.
        rate = np.where(
            self._rate_bps[slots] > 0, self._rate_bps[slots], 8 * last["pacing_rate_Bps"]
        )
        srtt_s = np.maximum(last["srtt_us"], 1) / 1e6
        packet_per_rtt_bps = 8 * last["mss_bytes"] / srtt_s
        increased = np.minimum(
            np.maximum(INCREASE * rate, rate + packet_per_rtt_bps),
            DELIVERY_HEADROOM * delivery_bps + packet_per_rtt_bps,
        )
        decreased = DECREASE * np.minimum(rate, delivery_bps)
        new = np.where(
            heard, np.where(congested, decreased, np.maximum(increased, 0)), DECREASE * rate
        )
        new = np.where(last["mss_bytes"] > 0, new, np.nan)
        self._rate_bps[slots] = np.nan_to_num(new)
        self._set_mark(slots)
        packets = CWND_BDPS * new * srtt_s / (8 * np.maximum(last["mss_bytes"], 1))
        return new, np.maximum(packets, MIN_CWND_PACKETS)
