"""Streaming sessions in lockstep: many players of one video, each on its own trace, one chunk per
step.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Floats, Ints, Traces
from policy.tasks.abr.compiled import mean_ahead, step_all
from policy.tasks.abr.network import INITIAL_WINDOW_BYTES, PENSIEVE_RTT_MS, Model
from policy.tasks.abr.qoe import Qoe, qoe_of
from policy.tasks.abr.video import Video

HISTORY = 10
BUFFER_CAP_MS = 60_000.0


@dataclass(eq=False)
class State:
    """What differs between sessions; every array has one entry (or row) a session.

    Histories [n, HISTORY] hold the last chunks, newest last, and 0 where there was none yet.
    """

    trace: Ints
    at: Ints
    clock_s: Floats
    scale: Floats
    rtt_ms: Floats
    buffer_ms: Floats
    level: Ints
    window_bytes: Floats
    idle_ms: Floats
    size_bits: Floats
    download_ms: Floats
    latency_ms: Floats

    def take(self, rows: NDArray[np.int64]) -> State:
        """Copies of these sessions; a row may be taken more than once."""
        return State(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Step:
    """What one chunk brought, each [n]: `stall_ms` is start-up time at chunk 0, which `reward`
    leaves out.
    """

    reward: Floats
    download_ms: Floats
    stall_ms: Floats
    wait_ms: Floats


class Sessions:
    """n sessions of one video that all stand at the same chunk: `chunk` is the next one to request.

    The README beside this file describes observation, action and reward.
    """

    def __init__(
        self,
        video: Video,
        traces: Traces,
        state: State,
        *,
        model: Model,
        qoe: Qoe,
        chunk: int = 0,
        buffer_cap_ms: float = BUFFER_CAP_MS,
    ) -> None:
        self.video, self.traces, self.state = video, traces, state
        self.model, self.qoe, self.chunk = model, qoe, chunk
        self.buffer_cap_ms = buffer_cap_ms

    def __len__(self) -> int:
        return len(self.state.trace)

    @property
    def done(self) -> bool:
        return self.chunk >= self.video.chunks

    @property
    def chunks_left(self) -> int:
        return self.video.chunks - self.chunk

    def take(self, rows: NDArray[np.int64]) -> Sessions:
        """Independent copies of these sessions; a row may be taken more than once."""
        return Sessions(
            self.video,
            self.traces,
            self.state.take(rows),
            model=self.model,
            qoe=self.qoe,
            chunk=self.chunk,
            buffer_cap_ms=self.buffer_cap_ms,
        )

    def step(self, levels: Ints) -> Step:
        """Downloads the next chunk at `levels` [n]. Raises PolicyError on a level that the ladder
        lacks.
        """
        if self.done:
            raise PolicyError(
                f"the video of {self.video.chunks} chunks is over; start new sessions"
            )
        levels = np.ascontiguousarray(levels, np.int64)
        if len(levels) != len(self) or ((levels < 0) | (levels >= self.video.levels)).any():
            raise PolicyError(
                f"levels must be {len(self)} numbers from 0 to {self.video.levels - 1}"
            )
        n = len(self)
        reward, download, stall, wait = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
        state = self.state
        step_all(
            int(self.model),
            self.traces.times_s,
            self.traces.rates_mbps,
            self.traces.offsets,
            self.video.sizes_bytes[self.chunk],
            self.qoe.utility[max(self.chunk - 1, 0)],
            self.qoe.utility[self.chunk],
            self.qoe.stall_per_s,
            self.qoe.switch,
            self.video.chunk_ms,
            self.buffer_cap_ms,
            levels,
            state.trace,
            state.at,
            state.clock_s,
            state.scale,
            state.rtt_ms,
            state.buffer_ms,
            state.level,
            state.window_bytes,
            state.idle_ms,
            state.size_bits,
            state.download_ms,
            state.latency_ms,
            reward,
            download,
            stall,
            wait,
        )
        if self.chunk == 0:
            reward[:] = 0.0
        self.chunk += 1
        return Step(reward, download, stall, wait)

    def mean_ahead_kbps(self, seconds: float) -> Floats:
        """The mean rate of the next `seconds` of each session's trace [n]: a look into the
        future.
        """
        state, traces = self.state, self.traces
        ahead: Floats = np.empty(len(self))
        mean_ahead(
            traces.times_s,
            traces.rates_mbps,
            traces.offsets,
            state.trace,
            state.at,
            state.clock_s,
            seconds * 1000.0,
            ahead,
        )
        return ahead * state.scale


def start(
    video: Video,
    traces: Traces,
    *,
    model: Model = Model.PENSIEVE,
    qoe: Qoe | None = None,
    trace: ArrayLike | None = None,
    start_sample: ArrayLike = 1,
    rtt_ms: ArrayLike = PENSIEVE_RTT_MS,
    scale: ArrayLike = 1.0,
    start_level: ArrayLike | None = 1,
    buffer_cap_ms: float = BUFFER_CAP_MS,
) -> Sessions:
    """Sessions on `trace` [n] (each trace once if left out), chunk 0 downloaded at `start_level`.

    A session starts at the time of the sample before `start_sample`. Arguments given as one number
    hold for all sessions. With `start_level` None nothing is downloaded yet. Raises PolicyError.
    """
    chosen = np.arange(len(traces)) if trace is None else np.array(trace, np.int64)
    n = len(chosen)
    if n == 0 or ((chosen < 0) | (chosen >= len(traces))).any():
        raise PolicyError(f"trace must name one or more of the {len(traces)} traces by index")
    if buffer_cap_ms < 2 * video.chunk_ms:
        raise PolicyError(
            f"buffer_cap_ms {buffer_cap_ms:g} must hold two chunks of {video.chunk_ms:g} ms"
        )
    first = traces.offsets[chosen]
    samples = np.broadcast_to(np.asarray(start_sample, np.int64), n)
    if ((samples < 1) | (samples >= traces.offsets[chosen + 1] - first)).any():
        raise PolicyError("start_sample must lie from 1 to the last sample of its trace")
    at = first + samples
    state = State(
        trace=chosen,
        at=at,
        clock_s=traces.times_s[at - 1],
        scale=np.array(np.broadcast_to(np.asarray(scale, np.float64), n)),
        rtt_ms=np.array(np.broadcast_to(np.asarray(rtt_ms, np.float64), n)),
        buffer_ms=np.zeros(n),
        level=np.full(n, -1),
        window_bytes=np.full(n, INITIAL_WINDOW_BYTES),
        idle_ms=np.zeros(n),
        size_bits=np.zeros((n, HISTORY)),
        download_ms=np.zeros((n, HISTORY)),
        latency_ms=np.zeros((n, HISTORY)),
    )
    if not ((state.scale > 0) & (state.rtt_ms >= 0)).all():
        raise PolicyError("scale must lie above 0, and rtt_ms at 0 or above")
    sessions = Sessions(
        video, traces, state, model=model, qoe=qoe or qoe_of(video), buffer_cap_ms=buffer_cap_ms
    )
    if start_level is not None:
        sessions.step(np.broadcast_to(np.asarray(start_level, np.int64), n))
    return sessions
