"""The sessions of `session.py` as tensors: the same network models, for a hundred thousand players
at a time on a GPU, where training plays.

A trace is walked by its running total of bits instead of sample by sample; results equal those of
`Sessions` up to rounding. The `tcp` model is not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Floats, Ints, Traces
from policy.tasks.abr.network import PAYLOAD_SHARE, WAIT_STEP_MS, Model
from policy.tasks.abr.qoe import Qoe
from policy.tasks.abr.session import BUFFER_CAP_MS, HISTORY
from policy.tasks.abr.video import Video


class TensorTraces:
    """Traces on a device: for each sample its end in seconds and the megabits that have passed."""

    def __init__(self, traces: Traces, device: torch.device | str = "cpu") -> None:
        self.traces, self.device = traces, torch.device(device)
        times, totals, samples, begins = [], [], [], []
        time_0, total_0 = 0.0, 0.0
        self.length_s = torch.empty(len(traces), dtype=torch.float64)
        self.lap_mb = torch.empty(len(traces), dtype=torch.float64)
        time_at, total_at = np.empty(len(traces)), np.empty(len(traces))
        for i in range(len(traces)):
            rows = slice(traces.offsets[i], traces.offsets[i + 1])
            ends = traces.times_s[rows].copy()
            # From the second lap on sample 1 begins at 0.
            ends[0] = 0.0
            passed = np.concatenate([[0.0], np.cumsum(traces.rates_mbps[rows][1:] * np.diff(ends))])
            time_at[i], total_at[i] = time_0, total_0
            times.append(ends + time_0)
            totals.append(passed + total_0)
            samples.append(traces.rates_mbps[rows])
            begins.append(traces.offsets[i])
            self.length_s[i], self.lap_mb[i] = ends[-1], passed[-1]
            # Apart, so that a search never lands in the next trace.
            time_0, total_0 = time_0 + ends[-1] + 1.0, total_0 + passed[-1] + 1.0

        def put(values: list[Floats] | Floats) -> Tensor:
            joined = np.concatenate(values) if isinstance(values, list) else values
            return torch.as_tensor(joined, device=self.device)

        self.times, self.totals, self.rates = put(times), put(totals), put(samples)
        self.time_at, self.total_at = put(time_at), put(total_at)
        self.length_s, self.lap_mb = self.length_s.to(self.device), self.lap_mb.to(self.device)
        self.first = torch.as_tensor(np.array(begins), device=self.device)
        self.last = torch.as_tensor(traces.offsets[1:] - 1, device=self.device)

    def __len__(self) -> int:
        return len(self.length_s)

    def passed(self, trace: Tensor, clock_s: Tensor) -> Tensor:
        """Megabits up to `clock_s` of the lap [n]."""
        time = self.time_at[trace] + clock_s
        at = torch.searchsorted(self.times, time, right=True)
        at = torch.minimum(torch.maximum(at, self.first[trace] + 1), self.last[trace])
        since = time - self.times[at - 1]
        return self.totals[at - 1] - self.total_at[trace] + since * self.rates[at]

    def reached(self, trace: Tensor, passed_mb: Tensor) -> Tensor:
        """The clock of the lap at which so many megabits have passed [n]."""
        total = self.total_at[trace] + passed_mb
        at = torch.searchsorted(self.totals, total)
        at = torch.minimum(torch.maximum(at, self.first[trace] + 1), self.last[trace])
        rate = self.rates[at].clamp(min=1e-12)
        since = (total - self.totals[at - 1]) / rate
        step = self.times[at] - self.times[at - 1]
        return self.times[at - 1] - self.time_at[trace] + torch.minimum(since.clamp(min=0), step)


@dataclass(eq=False)
class TensorState:
    """As `State`; `clock_s` is the clock of the lap and `passed_mb` what has passed of it. `chunk`
    is the next one to request.
    """

    chunk: Tensor
    trace: Tensor
    clock_s: Tensor
    passed_mb: Tensor
    scale: Tensor
    rtt_ms: Tensor
    buffer_ms: Tensor
    level: Tensor
    size_bits: Tensor
    download_ms: Tensor


class TensorSessions:
    """n sessions of one video, each at a chunk of its own: `chunks_left` are those of the session
    that has most. One whose video is over stays as it is in what it earns: 0.
    """

    def __init__(
        self,
        video: Video,
        traces: TensorTraces,
        state: TensorState,
        *,
        model: Model,
        qoe: Qoe,
        chunks_left: int,
        buffer_cap_ms: float = BUFFER_CAP_MS,
    ) -> None:
        if model == Model.TCP:
            raise PolicyError("sessions as tensors have the models pensieve and session only")
        self.video, self.traces, self.state = video, traces, state
        self.model, self.qoe, self.chunks_left = model, qoe, chunks_left
        self.buffer_cap_ms = buffer_cap_ms
        self._sizes = torch.as_tensor(video.sizes_bytes * 8, device=traces.device)
        self._utility = torch.as_tensor(qoe.utility, device=traces.device)

    def __len__(self) -> int:
        return len(self.state.trace)

    @property
    def done(self) -> bool:
        return self.chunks_left <= 0

    @property
    def chunk(self) -> Tensor:
        """The next chunk to request [n]; the last one where the video is over."""
        return self.state.chunk.clamp(max=self.video.chunks - 1)

    def branched(self, times: int) -> TensorSessions:
        """Independent copies, each session `times` times in a row."""
        return self._with(
            getattr(self.state, field.name).repeat_interleave(times, dim=0)
            for field in fields(self.state)
        )

    def take(self, rows: Tensor) -> TensorSessions:
        """Independent copies of these sessions."""
        return self._with(getattr(self.state, field.name)[rows] for field in fields(self.state))

    def joined(self, others: Sequence[TensorSessions]) -> TensorSessions:
        """Copies of these sessions and of others of the same video and traces, whatever chunks they
        stand at.
        """
        joined = self._with(
            torch.cat([getattr(one.state, field.name) for one in (self, *others)])
            for field in fields(self.state)
        )
        joined.chunks_left = max(one.chunks_left for one in (self, *others))
        return joined

    def _with(self, values: Iterable[Tensor]) -> TensorSessions:
        state = TensorState(*values)
        return TensorSessions(
            self.video,
            self.traces,
            state,
            model=self.model,
            qoe=self.qoe,
            chunks_left=self.chunks_left,
            buffer_cap_ms=self.buffer_cap_ms,
        )

    def step(self, levels: Tensor) -> Tensor:
        """Downloads the next chunk at `levels` [n]; its reward [n], 0 for chunk 0 and after the
        last.
        """
        state, chunk = self.state, self.chunk
        bits = self._sizes[chunk, levels]
        if self.model == Model.PENSIEVE:
            moved_s = self._transfer(bits / (state.scale * PAYLOAD_SHARE) / 1e6)
            delay_ms = moved_s * 1000 + state.rtt_ms
        else:
            self._advance(state.rtt_ms / 1000)
            moved_s = self._transfer(bits / state.scale / 1e6)
            delay_ms = state.rtt_ms + moved_s * 1000
        stall_ms = (delay_ms - state.buffer_ms).clamp(min=0)
        buffer = (state.buffer_ms - delay_ms).clamp(min=0) + self.video.chunk_ms
        if self.model == Model.PENSIEVE:
            over = (buffer - self.buffer_cap_ms).clamp(min=0)
            wait = (over / WAIT_STEP_MS).ceil() * WAIT_STEP_MS
        else:
            wait = (buffer + self.video.chunk_ms - self.buffer_cap_ms).clamp(min=0)
        self._advance(wait / 1000)
        utility = self._utility[chunk, levels]
        before = self._utility[(chunk - 1).clamp(min=0), state.level]
        reward = utility - self.qoe.stall_per_s * stall_ms / 1000
        reward = reward - self.qoe.switch * (utility - before).abs()
        counts = (state.chunk > 0) & (state.chunk < self.video.chunks)
        reward = torch.where(counts, reward, 0.0)
        state.buffer_ms = buffer - wait
        state.level = levels
        state.size_bits = torch.cat([state.size_bits[:, 1:], bits[:, None]], dim=1)
        state.download_ms = torch.cat([state.download_ms[:, 1:], delay_ms[:, None]], dim=1)
        state.chunk = state.chunk + 1
        self.chunks_left -= 1
        return reward

    def _transfer(self, megabits: Tensor) -> Tensor:
        """Moves on until so much of the trace has passed; the seconds that took."""
        state, traces = self.state, self.traces
        lap_mb = traces.lap_mb[state.trace]
        total = state.passed_mb + megabits
        laps = (total / lap_mb).floor()
        passed = (total - laps * lap_mb).clamp(min=0)
        clock = traces.reached(state.trace, passed)
        moved = laps * traces.length_s[state.trace] + clock - state.clock_s
        state.clock_s, state.passed_mb = clock, passed
        return moved

    def _advance(self, seconds: Tensor) -> None:
        state = self.state
        length = self.traces.length_s[state.trace]
        clock = state.clock_s + seconds
        clock = clock - (clock / length).floor() * length
        state.clock_s = clock
        state.passed_mb = self.traces.passed(state.trace, clock)


def start_tensors(
    video: Video,
    traces: TensorTraces,
    qoe: Qoe,
    *,
    model: Model,
    trace: Ints,
    start_sample: Ints,
    scale: Floats,
    rtt_ms: Floats,
    start_level: Ints,
    buffer_cap_ms: float = BUFFER_CAP_MS,
) -> TensorSessions:
    """As `session.start`, every argument with one entry a session."""
    n, device = len(trace), traces.device
    offsets, times = traces.traces.offsets, traces.traces.times_s

    def put(values: Floats) -> Tensor:
        return torch.as_tensor(np.asarray(values, np.float64), device=device)

    chosen = torch.as_tensor(trace, device=device)
    clock = put(times[offsets[trace] + start_sample - 1])
    zeros = torch.zeros((n, HISTORY), dtype=torch.float64, device=device)
    state = TensorState(
        chunk=torch.zeros(n, dtype=torch.int64, device=device),
        trace=chosen,
        clock_s=clock,
        passed_mb=traces.passed(chosen, clock),
        scale=put(scale),
        rtt_ms=put(rtt_ms),
        buffer_ms=torch.zeros(n, dtype=torch.float64, device=device),
        level=torch.zeros(n, dtype=torch.int64, device=device),
        size_bits=zeros,
        download_ms=zeros.clone(),
    )
    sessions = TensorSessions(
        video,
        traces,
        state,
        model=model,
        qoe=qoe,
        chunks_left=video.chunks,
        buffer_cap_ms=buffer_cap_ms,
    )
    sessions.step(torch.as_tensor(start_level, device=device))
    return sessions
