"""Plays a trace on an HTB class: at most ten changes a second, each with what HTB did not carry
added to the next.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from testbed.errors import UserError
from testbed.links.base import Attachment
from testbed.links.measure import Windows
from testbed.links.tc.qdiscs import FRAME_BYTES, Shaper

if TYPE_CHECKING:
    from traces.model import Trace

WINDOW_NS = 100_000_000
LONGEST_OUTAGE_WINDOWS = 100  # ten seconds; a longer one leaks more


@dataclass
class Correction:
    """The rate to ask for, window by window.

    HTB throws its tokens away at every change, so a varying trace carries too little. What a window
    with a backlog carried too little or too much is made up for once it is known: half of it in
    each following window, and half of the capacity at most.
    """

    owed_bytes: float = 0.0
    asked_bytes: float = 0.0  # of what is owed, asked for in the window that is being carried

    def rate_bps(self, capacity_bytes: float) -> float:
        """What to ask for in a window that shall carry `capacity_bytes`."""
        most = capacity_bytes / 2
        self.asked_bytes = min(max((self.owed_bytes - self.asked_bytes) / 2, -most), most)
        return (capacity_bytes + self.asked_bytes) * 8e9 / WINDOW_NS

    def after(self, capacity_bytes: float, served_bytes: int, backlogged: bool) -> None:
        """Takes note of a window that has ended."""
        self.owed_bytes = self.owed_bytes + capacity_bytes - served_bytes if backlogged else 0.0


@dataclass
class Played:
    """One entry per 100 ms window: how late the change was made; and its number, capacity and bytes
    served if backlogged.
    """

    lateness_ns: list[int] = field(default_factory=list)
    window: list[int] = field(default_factory=list)
    capacity_bytes: list[float] = field(default_factory=list)
    served_bytes: list[int] = field(default_factory=list)

    def rate_error(self) -> npt.NDArray[np.float64]:
        """That of the backlogged windows, as `Windows` says."""
        windows = Windows(
            np.asarray(self.window, np.int64),
            np.asarray(self.capacity_bytes, np.float64),
            np.asarray(self.served_bytes, np.float64),
        )
        return windows.rate_error


def first_rate_bps(trace: Trace) -> float:
    """The rate of the trace's first window, which also holds before time zero."""
    return trace.capacity_bytes(0, WINDOW_NS) * 8e9 / WINDOW_NS


def outage_windows(trace: Trace, window: int) -> int:
    """How many windows without capacity follow from this one on, itself included."""
    begin_ns = window * WINDOW_NS
    ends_ns = begin_ns + np.arange(1, LONGEST_OUTAGE_WINDOWS + 1) * WINDOW_NS
    return int(np.count_nonzero(trace.capacity_bytes(begin_ns, ends_ns) == 0))


def outage_rate_bps(windows_left: int) -> float:
    """The rate in an outage with so many windows to come.

    HTB knows no zero. It lets a packet go and then waits for as long as that took at the rate of
    the moment, also after the rate has risen. So one packet goes at the beginning, paid for just
    after the last window has begun; the one that goes then is paid for soon after the end.
    """
    return FRAME_BYTES * 8e9 / ((max(windows_left - 1, 1) + 0.25) * WINDOW_NS)


class Player(threading.Thread):
    """Plays one direction's trace until stopped. What went wrong is raised by `check`."""

    def __init__(self, end: Attachment, trace: Trace) -> None:
        super().__init__(name=f"tc-{end.ifname}", daemon=True)
        self.played = Played()
        self.cpu_s = 0.0
        self._end, self._trace = end, trace
        self._zero_ns = 0
        self._stopped = threading.Event()
        self._error: Exception | None = None

    def play(self, zero_ns: int) -> None:
        """Starts with the trace's time zero at `zero_ns`."""
        self._zero_ns = zero_ns
        self.start()

    def stop(self) -> None:
        self._stopped.set()
        if self.is_alive():
            self.join()

    def check(self) -> None:
        """Raises what has ended the player too early."""
        if self._error:
            raise self._error

    def run(self) -> None:
        try:
            with self._end.netns.inside(), IPRoute() as ip:
                (index,) = ip.link_lookup(ifname=self._end.ifname)
                self._play(Shaper(ip, index))
            self.cpu_s = time.thread_time()
        except NetlinkError as error:
            self._error = UserError(f"{self._end.ifname}: the rate could not be set: {error}")
        except Exception as error:  # noqa: BLE001 - a thread's error is raised by check()
            self._error = error

    def _play(self, shaper: Shaper) -> None:
        correction, rate_bps = Correction(), -1.0
        before, ended_bytes = shaper.read(), 1.0
        for window in count():
            edge_ns = self._zero_ns + window * WINDOW_NS
            capacity_bytes = self._trace.capacity_bytes(
                window * WINDOW_NS, (window + 1) * WINDOW_NS
            )
            asked_bps = correction.rate_bps(capacity_bytes)
            if not capacity_bytes:
                left = outage_windows(self._trace, window)
                asked_bps = outage_rate_bps(left) if ended_bytes or left == 1 else rate_bps
            if self._sleep_until(edge_ns):
                return
            if asked_bps != rate_bps:
                shaper.change(asked_bps)
                rate_bps = asked_bps
                self.played.lateness_ns.append(time.monotonic_ns() - edge_ns)
            now = shaper.read()
            if window:
                served_bytes = now.delivered_bytes - before.delivered_bytes
                backlogged = before.backlog_bytes > 0 and now.backlog_bytes > 0
                correction.after(ended_bytes, served_bytes, backlogged)
                if backlogged:
                    self.played.window.append(window - 1)
                    self.played.capacity_bytes.append(ended_bytes)
                    self.played.served_bytes.append(served_bytes)
            before, ended_bytes = now, capacity_bytes

    def _sleep_until(self, at_ns: int) -> bool:
        """True if the player was stopped instead."""
        return self._stopped.wait(max(0, at_ns - time.monotonic_ns()) / 1e9)
