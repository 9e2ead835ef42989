"""What a viewer saw: stalls, freezes, bitrate, delay. Start-up, up to the first displayed frame, is kept apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.logs import MISSING, Bools, Float64s, Int64s, Log

NS_PER_MS = 1_000_000
# W3C webrtc-stats, freezeCount: a gap of at least max(3 * avg, avg + 150 ms), avg over the last 30 frames.
_FREEZE_FRAMES = 30
_FREEZE_MIN_FRAMES = 5  # gaps that an average needs
_FREEZE_EXTRA_NS = 150 * NS_PER_MS


@dataclass(frozen=True)
class Playback:
    """The gaps between consecutive displayed frames, the last one from the last frame to the end; each [n].

    `first_ns` is when the first frame was displayed and playing began, None if none ever was.
    """

    first_ns: int | None
    stop_ns: int
    gap_start_ns: Int64s
    gap_ns: Int64s

    @property
    def playing_ns(self) -> int:
        """From the first displayed frame to the end."""
        return self.stop_ns - self.first_ns if self.first_ns is not None else 0

    def stalls(self, threshold_ns: int) -> Bools:
        """Which gaps are longer than the threshold."""
        return np.asarray(self.gap_ns > threshold_ns)

    def stall_rate(self, threshold_ns: int) -> float:
        """Sum of the gaps longer than the threshold / playing time; 1 if nothing was ever displayed."""
        return self._share(self.stalls(threshold_ns))

    def freezes(self) -> Bools:
        """Which gaps are freezes by WebRTC's rule; the average is over up to 30 gaps before, at least 5."""
        gaps = self.gap_ns.astype(np.float64)
        cumulative = np.concatenate(([0.0], np.cumsum(gaps)))
        index = np.arange(len(gaps))
        first = np.maximum(0, index - _FREEZE_FRAMES)
        mean = (cumulative[index] - cumulative[first]) / np.maximum(1, index - first)
        threshold = np.maximum(3 * mean, mean + _FREEZE_EXTRA_NS)
        return np.asarray((index >= _FREEZE_MIN_FRAMES) & (gaps >= threshold))

    def freeze_rate(self) -> float:
        """Time in freezes / playing time; 1 if nothing was ever displayed."""
        return self._share(self.freezes())

    def _share(self, chosen: Bools) -> float:
        if self.playing_ns <= 0:
            return 1.0
        return float(self.gap_ns[chosen].sum()) / self.playing_ns


def playback(displayed_ns: Int64s, stop_ns: int) -> Playback:
    """The display times of a flow's frames ([n], MISSING: never) as gaps.

    Frames displayed at the same instant count once: only the last of them is seen.
    """
    times_ns = np.unique(displayed_ns[(displayed_ns != MISSING) & (displayed_ns < stop_ns)])
    if not len(times_ns):
        nothing = np.empty(0, np.int64)
        return Playback(None, stop_ns, nothing, nothing)
    gaps_ns = np.diff(np.append(times_ns, stop_ns))
    return Playback(int(times_ns[0]), stop_ns, times_ns, gaps_ns)


def bitrate_bps(frames: Log, played: Playback) -> float:
    """Bits of the frames displayed while playing / playing time. frames: rows of one flow."""
    if played.playing_ns <= 0:
        return 0.0
    shown = (frames["displayed_ns"] != MISSING) & (frames["displayed_ns"] < played.stop_ns)
    return float(frames["size_bytes"][shown].sum()) * 8e9 / played.playing_ns


def frame_delay_ns(frames: Log) -> Float64s:
    """From capture to display, jitter buffer included, of the frames that were displayed."""
    shown = frames["displayed_ns"] != MISSING
    return (frames["displayed_ns"][shown] - frames["captured_ns"][shown]).astype(np.float64)


def skipped_share(frames: Log) -> float | None:
    """Share of captured frames that the sender gave up before the first byte left; None of no frames."""
    captured = len(frames["frame"])
    return float(np.count_nonzero(frames["sent_ns"] == MISSING)) / captured if captured else None
