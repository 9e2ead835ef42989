"""Live video in the simulated loop: the encoder, queue and display of `testbed.traffic.video`,
vectorised over flows.

The rules and defaults are those of docs/reference/traffic.md; tests hold the two implementations
against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.tasks.congestion.simulator.loop import STEP_NS, Floats, TransportState

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class VideoSettings:
    """As `testbed.traffic.video.options`, whose names and meanings these are."""

    fps: int = 30
    gop_frames: int = 30
    keyframe_ratio: float = 4.0
    size_noise: float = 0.15
    min_bps: float = 150e3
    max_bps: float = 20e6
    start_bps: float = 1e6
    adaptation: str = "transport"
    headroom: float = 0.9
    drain_ms: float = 1000
    growth_per_s: float = 10
    rise: float = 0.08
    rise_interval_ms: int = 200
    drop: float = 0.85
    drop_backlog_ms: float = 150
    max_frame_age_ms: int = 500
    jitter_buffer_ms: int = 100
    rate_valid_ms: int = 1000


@dataclass(frozen=True)
class Shown:
    """Per flow, float64[n]: share of the time in display gaps longer than 100, 200 and 500 ms,
    displayed bit/s, and bit/s of the frames that were complete by the jitter buffer's delay after
    capture.
    """

    stall_100ms: Floats
    stall_200ms: Floats
    stall_500ms: Floats
    bitrate_bps: Floats
    on_time_bps: Floats


class Video:
    """Sources of n flows. The positions of frames are counted in the bytes of each flow's
    stream.
    """

    def __init__(
        self, n: int, steps: int, seed: int = 0, settings: VideoSettings | None = None
    ) -> None:
        self._s = s = settings or VideoSettings()
        self._random = np.random.default_rng(seed)
        frames = steps * s.fps // 1000 + 2
        self._start: Floats = np.full(
            (frames, n), np.nan
        )  # position of the first byte; NaN: skipped
        self._end: Floats = np.full((frames, n), np.nan)
        self._captured: Ints = np.zeros(frames, np.int64)
        self._captures = 0
        self._stream: Floats = np.zeros(n)  # bytes of all frames kept
        self._awaiting = np.zeros(n, bool)  # skipping up to the next I-frame
        self._target: Floats = np.full(n, s.start_bps)
        self._calm_since: Floats = np.full(n, np.nan)
        self._rate: Floats = np.full(n, np.nan)
        self._rate_at: Floats = np.full(n, -np.inf)
        self._allowed: Floats = np.full(n, np.nan)

    def observe(self, state: TransportState, step: int) -> None:
        """See Source."""
        self._allowed[state.flows] = state.allowed_bps
        usable = state.flows[~state.app_limited]
        self._rate[usable], self._rate_at[usable] = (
            state.delivery_rate_bps[~state.app_limited],
            step,
        )

    def produce(self, step: int, backlog_bytes: Floats) -> Floats:
        """Bytes that join (or, skipped, leave) each flow's unsent backlog in this step."""
        s = self._s
        if step < self._captures * 1000 // s.fps:
            return np.zeros(len(backlog_bytes))
        number = self._captures
        self._captures += 1
        self._captured[number] = step
        change = -self._skip(step, number, backlog_bytes)
        backlog = backlog_bytes + change
        if s.adaptation == "transport":
            self._follow_transport(backlog)
        else:
            self._follow_backlog(step, backlog)
        keyframe = number % s.gop_frames == 0
        share = (
            s.gop_frames
            / (s.gop_frames - 1 + s.keyframe_ratio)
            * (s.keyframe_ratio if keyframe else 1)
        )
        noise = np.exp(self._random.normal(-(s.size_noise**2) / 2, s.size_noise, len(backlog)))
        size = np.maximum(np.round(self._target / 8 / s.fps * share * noise), 64.0)
        if keyframe:
            self._awaiting[:] = False
        kept = ~self._awaiting
        self._start[number] = np.where(kept, self._stream, np.nan)
        self._stream = self._stream + np.where(kept, size, 0.0)
        self._end[number] = np.where(kept, self._stream, np.nan)
        return change + np.where(kept, size, 0.0)

    def _skip(self, step: int, count: int, backlog_bytes: Floats) -> Floats:
        """Drop what waited too long, up to the next I-frame; returns the bytes dropped."""
        s = self._s
        dropped = np.zeros(len(backlog_bytes))
        oldest = int(np.searchsorted(self._captured[:count], step - s.max_frame_age_ms))
        if not oldest:
            return dropped
        sent = self._stream - backlog_bytes
        for flow in np.flatnonzero(backlog_bytes > 0):
            waiting = np.flatnonzero(self._start[:count, flow] >= sent[flow])
            if not len(waiting) or waiting[0] >= oldest:
                continue
            later_key = waiting[(waiting > waiting[0]) & (waiting % s.gop_frames == 0)]
            stop = later_key[0] if len(later_key) else count
            lost = waiting[waiting < stop]
            size = float((self._end[lost, flow] - self._start[lost, flow]).sum())
            self._start[lost, flow] = self._end[lost, flow] = np.nan
            self._start[stop:count, flow] -= size
            self._end[stop:count, flow] -= size
            self._stream[flow] -= size
            self._awaiting[flow] = not len(later_key)
            dropped[flow] = size
        return dropped

    def _follow_transport(self, backlog_bytes: Floats) -> None:
        s = self._s
        wanted = s.headroom * self._allowed - backlog_bytes * 8000 / s.drain_ms
        frames = min(self._captures - 1, 1)  # since the last update
        grown = np.minimum(wanted, self._target * s.growth_per_s ** (frames / s.fps))
        self._target = np.where(
            np.isnan(wanted), self._target, np.clip(grown, s.min_bps, s.max_bps)
        )

    def _follow_backlog(self, step: int, backlog_bytes: Floats) -> None:
        s, target = self._s, self._target
        busy = self._awaiting | (backlog_bytes * 8 >= target / s.fps)
        self._calm_since = np.where(busy, np.nan, np.fmin(self._calm_since, step))
        known = (step - self._rate_at <= s.rate_valid_ms) & ~np.isnan(self._rate)
        drop = (backlog_bytes * 8000 / target > s.drop_backlog_ms) & known
        rise = ~drop & (step - self._calm_since >= s.rise_interval_ms)
        self._calm_since = np.where(rise, step, self._calm_since)
        changed = np.where(
            drop,
            np.fmin(target, s.drop * self._rate),
            np.where(rise, target * (1 + s.rise), target),
        )
        self._target = np.clip(changed, s.min_bps, s.max_bps)

    def shown(self, arrived_bytes: Floats) -> Shown:
        """What the receivers displayed. arrived_bytes: float64[k, n], of each stream, after each
        step.
        """
        s, (steps, n) = self._s, arrived_bytes.shape
        stalls = {limit_ms: np.zeros(n) for limit_ms in (100, 200, 500)}
        bitrate, on_time = np.zeros(n), np.zeros(n)
        captured = self._captured[: self._captures]
        for flow in range(n):
            end = self._end[: self._captures, flow]
            kept = ~np.isnan(end)
            done = np.searchsorted(arrived_bytes[:, flow], end[kept] - 0.5)
            shown = np.maximum.accumulate(np.maximum(captured[kept] + s.jitter_buffer_ms, done))
            size = (end - self._start[: self._captures, flow])[kept]
            seen = (done < steps) & (shown < steps)
            if not seen.any():
                for share in stalls.values():
                    share[flow] = 1.0
                continue
            gaps = np.diff(np.append(np.unique(shown[seen]), steps))
            for limit_ms, share in stalls.items():
                share[flow] = gaps[gaps > limit_ms].sum() / gaps.sum()
            bitrate[flow] = size[seen].sum() * 8 / gaps.sum() * (1e9 / STEP_NS)
            timely = (done < steps) & (done - captured[kept] <= s.jitter_buffer_ms)
            on_time[flow] = size[timely].sum() * 8 / steps * (1e9 / STEP_NS)
        return Shown(stalls[100], stalls[200], stalls[500], bitrate, on_time)
