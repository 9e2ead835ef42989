"""How the encoder's target bitrate follows the network. Pure.

The rule is the same for every congestion controller, so that only the controller differs between
cells.
"""

from __future__ import annotations

import math
from typing import Protocol

from testbed.traffic.tcpinfo import TcpInfo
from testbed.traffic.video.options import VideoOptions
from testbed.units import NS_PER_MS, NS_PER_S

# A delivery rate older than this says nothing about the path of now.
_RATE_VALID_NS = NS_PER_S


class Adaptation(Protocol):
    """Sets the target."""

    target_bps: float

    def observe(self, now_ns: int, info: TcpInfo) -> None:
        """A sample of the sender's TCP_INFO."""

    def update(self, now_ns: int, backlog_bytes: int, *, sending: bool = True) -> float:
        """The target (bit/s) given the unsent backlog; call it once per frame, before encoding.

        ``sending`` is false while frames are skipped.
        """


def adaptation(options: VideoOptions) -> Adaptation:
    """The rule that the options name."""
    return (
        TransportAdaptation(options)
        if options.adaptation == "transport"
        else BacklogAdaptation(options)
    )


class TransportAdaptation:
    """Follows the rate that the congestion controller allows, as in real-time stacks (WebRTC hands
    its controller's estimate to the encoder).

    target = headroom * min(pacing rate, cwnd / srtt) - backlog / drain time. The pacing rate is
    what a controller that paces asks for, cwnd / srtt what any other does. The target falls at
    once, and grows by ``growth_per_s`` a second at most.
    """

    def __init__(self, options: VideoOptions) -> None:
        self._options = options
        self.target_bps = options.start_bps
        self._allowed_bps = math.nan
        self._updated_ns: int | None = None

    def observe(self, now_ns: int, info: TcpInfo) -> None:
        """See Adaptation."""
        if info.srtt_ns > 0:
            window_bps = info.cwnd_packets * info.mss_bytes * 8 * NS_PER_S / info.srtt_ns
            paced_bps = math.inf if math.isnan(info.pacing_rate_bps) else info.pacing_rate_bps
            self._allowed_bps = min(paced_bps, window_bps)

    def update(self, now_ns: int, backlog_bytes: int, *, sending: bool = True) -> float:
        """See Adaptation."""
        options = self._options
        elapsed_s = 0.0 if self._updated_ns is None else (now_ns - self._updated_ns) / NS_PER_S
        self._updated_ns = now_ns
        if not math.isnan(self._allowed_bps):
            wanted_bps = (
                options.headroom * self._allowed_bps - backlog_bytes * 8000 / options.drain_ms
            )
            grown_bps = self.target_bps * options.growth_per_s ** min(elapsed_s, 1.0)
            self.target_bps = options.bounded(min(wanted_bps, grown_bps))
        return self.target_bps


class BacklogAdaptation:
    """From the sender's backlog and delivery rate, as live streaming over TCP does that cannot see
    its transport.

    - Up by ``rise`` when the backlog stayed under one average frame for ``rise_interval_ms``;
    - down to ``drop`` times the delivery rate when the backlog exceeds ``drop_backlog_ms`` of the
      target;
    - held in between, and where a drop is due but no valid delivery rate is known.
    A drop does not multiply the target by itself: while the delivery rate stays, a second one
    changes nothing.
    """

    def __init__(self, options: VideoOptions) -> None:
        self._options = options
        self.target_bps = options.start_bps
        self._calm_since_ns: int | None = None
        self._rate_bps = math.nan
        self._rate_at_ns = 0

    def observe(self, now_ns: int, info: TcpInfo) -> None:
        """App-limited samples say what was offered, not what the path carries, and are ignored."""
        if not info.app_limited and not math.isnan(info.delivery_rate_bps):
            self._rate_bps, self._rate_at_ns = info.delivery_rate_bps, now_ns

    def update(self, now_ns: int, backlog_bytes: int, *, sending: bool = True) -> float:
        """See Adaptation. While frames are skipped an empty backlog says nothing about the path."""
        options = self._options
        if not sending or backlog_bytes * 8 >= self.target_bps / options.fps:
            self._calm_since_ns = None
        elif self._calm_since_ns is None:
            self._calm_since_ns = now_ns
        backlog_ms = backlog_bytes * 8 / self.target_bps * 1000
        rate_known = now_ns - self._rate_at_ns <= _RATE_VALID_NS and not math.isnan(self._rate_bps)
        if backlog_ms > options.drop_backlog_ms and rate_known:
            self.target_bps = options.bounded(min(self.target_bps, options.drop * self._rate_bps))
        elif (
            self._calm_since_ns is not None
            and now_ns - self._calm_since_ns >= options.rise_interval_ms * NS_PER_MS
        ):
            self.target_bps = options.bounded(self.target_bps * (1 + options.rise))
            self._calm_since_ns = now_ns
        return self.target_bps
