"""What is trained on: recordings, videos, and the sessions that are drawn from both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, Floats, find_bandwidths, pack
from policy.tasks.abr.network import Model
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.session import BUFFER_CAP_MS
from policy.tasks.abr.tensors import TensorSessions, TensorTraces, start_tensors
from policy.tasks.abr.training.choosers import Chooser
from policy.tasks.abr.training.leaks import refuse_shared
from policy.tasks.abr.video import Video, read_video

# Every so many recordings one validates.
VALIDATION_SHARE = 5
STARTS_PER_TRACE = 4
# Mean rate of a drawn session over the top bitrate of its ladder.
LEAST_RATIO, GREATEST_RATIO = 0.04, 6.0
# Players of drawn videos hold at most one of these.
DRAWN_CAPS_MS = (12_000.0, 20_000.0, 30_000.0, BUFFER_CAP_MS, BUFFER_CAP_MS)
# Evened copies have running means over so much.
EVENED_S = 30.0
_VALIDATION_SEED = 7


@dataclass(frozen=True, eq=False)
class Material:
    """Recordings, split into training and validation, and the videos that are played.

    `drawn` adds so many random ladders to every round. `wide` draws half of the sessions of a given
    video, and all of a drawn one, with other round trips and with rates scaled to the ladder.
    `starts` is how often each trace that validates is played.
    """

    training: TensorTraces
    validation: TensorTraces
    videos: tuple[Video, ...]
    drawn: int = 0
    wide: bool = True
    starts: int = STARTS_PER_TRACE

    def draw(self, sessions: int, rng: np.random.Generator) -> list[TensorSessions]:
        """Batches of fresh sessions, one a video, `sessions` in all."""
        share = max(sessions // (len(self.videos) + self.drawn), 1)
        batches = []
        for video in self.videos:
            far = rng.random(share) < (0.5 if self.wide else 0.0)
            ratio = np.where(far, draw_ratios(share, rng), np.nan)
            batches.append(self.draw_of(video, ratio, Model.PENSIEVE, rng))
        for _ in range(self.drawn):
            # The simulated network also differs between batches of drawn videos.
            model = Model.PENSIEVE if rng.random() < 0.7 else Model.SESSION
            video, ratios = draw_video(rng), draw_ratios(share, rng)
            cap_ms = float(rng.choice(DRAWN_CAPS_MS))
            batches.append(self.draw_of(video, ratios, model, rng, cap_ms))
        return batches

    def draw_of(
        self,
        video: Video,
        ratio: Floats,
        model: Model,
        rng: np.random.Generator,
        buffer_cap_ms: float = BUFFER_CAP_MS,
    ) -> TensorSessions:
        """Fresh sessions of one video, on random traces from random starts.

        `ratio` [n] is the mean rate over the top bitrate; where it is NaN, the trace's own rate
        holds, up to a tenth off, and the round trip is 80 ms.
        """
        n, traces = len(ratio), self.training
        offsets, ends = traces.traces.offsets, traces.traces.times_s
        # Longer traces hold more states: drawn in proportion to their duration.
        last = ends[offsets[1:] - 1]
        chosen = rng.choice(len(traces), n, p=last / last.sum())
        scaled = ratio * video.bitrates_kbps[-1] / 1000 / _means_mbps(traces)[chosen]
        own = np.isnan(ratio)
        return start_tensors(
            video,
            traces,
            qoe_of(video),
            model=model,
            trace=chosen,
            start_sample=rng.integers(1, np.diff(offsets)[chosen]),
            scale=np.where(own, rng.uniform(0.9, 1.1, n), scaled),
            rtt_ms=np.where(own, 80.0, rng.uniform(10, 160, n)),
            start_level=rng.integers(0, 2, n),
            buffer_cap_ms=buffer_cap_ms,
        )

    def score(self, chooser: Chooser) -> float:
        """Mean QoE over the top utility on validation, starts spread evenly over each trace.

        With drawn videos also on four fixed ones, at rates that are scaled to their ladders.
        """
        traces = self.validation
        lengths = np.diff(traces.traces.offsets)
        trace = np.repeat(np.arange(len(traces)), self.starts)
        shares = np.tile(np.arange(self.starts) / self.starts, len(traces))
        rng = np.random.default_rng(_VALIDATION_SEED)
        fixed = [draw_video(rng) for _ in range(4)] if self.drawn else []
        scores = []
        for video in (*self.videos, *fixed):
            scale = np.ones(len(trace))
            if video in fixed:
                ratio = draw_ratios(len(trace), rng)
                scale = ratio * video.bitrates_kbps[-1] / 1000 / _means_mbps(traces)[trace]
            sessions = start_tensors(
                video,
                traces,
                qoe_of(video),
                model=Model.PENSIEVE,
                trace=trace,
                start_sample=1 + (shares * (lengths[trace] - 1)).astype(np.int64),
                scale=scale,
                rtt_ms=np.full(len(trace), 80.0),
                start_level=np.minimum(np.ones(len(trace), np.int64), video.levels - 1),
            )
            scores.append(mean_reward(sessions, chooser) / sessions.qoe.stall_per_s)
        return float(np.mean(scores))


@dataclass(frozen=True)
class Sources:
    """Where traces and videos lie, and which traces must not be trained on (`test`)."""

    traces: Sequence[str]
    videos: Sequence[str]
    chunks: int = 48
    drawn: int = 0
    wide: bool = True
    test: Sequence[str] = ()
    allow_overlap: bool = False
    evened: bool = False

    def read(self, device: str) -> tuple[Material, dict[str, str]]:
        """The material, and notes on it for a file's header. Raises PolicyError, also where `test`
        holds a recording and that is not allowed.
        """
        bandwidths = find_bandwidths(*self.traces)
        notes = {"traces": " ".join(Path(one).name for one in self.traces)}
        notes["videos"] = " ".join(Path(one).stem for one in self.videos) or "none"
        notes["drawn"] = str(self.drawn)
        notes |= checked_against(bandwidths, self.test, self.allow_overlap)
        videos = [read_video(path).clipped(self.chunks) for path in self.videos]
        notes["evened"] = f"{EVENED_S:g} s" if self.evened else ""
        material = material_of(bandwidths, videos, self.drawn, self.wide, device, self.evened)
        return material, notes


def checked_against(
    bandwidths: Sequence[Bandwidth], test: Sequence[str], allow_overlap: bool
) -> dict[str, str]:
    """Notes on the test sets. Raises PolicyError where one holds a recording that is trained on."""
    if not test:
        return {}
    if not allow_overlap:
        refuse_shared(bandwidths, find_bandwidths(*test))
    names = " ".join(Path(one).name for one in test)
    return {"test": names, "overlap": "allowed" if allow_overlap else "none"}


def mean_reward(sessions: TensorSessions, chooser: Chooser) -> float:
    """Plays to the end; the mean reward per chunk."""
    chunks, total = sessions.chunks_left, 0.0
    while not sessions.done:
        total += sessions.step(chooser.choose(sessions)).mean().item()
    return total / chunks


def material_of(
    bandwidths: Sequence[Bandwidth],
    videos: Sequence[Video],
    drawn: int = 0,
    wide: bool = True,
    device: str = "cpu",
    with_evened: bool = False,
) -> Material:
    """Material from what has been read. Raises PolicyError where a fifth cannot be kept out."""
    kept, held = split(bandwidths)
    if not kept or not held:
        raise PolicyError(
            f"{len(bandwidths)} traces are too few to keep a fifth out; give at least 5"
        )
    if not videos and not drawn:
        raise PolicyError("no video: give a manifest, or draw ladders")
    if with_evened:
        kept = [*kept, *(evened(one) for one in kept)]
    training, validation = TensorTraces(pack(kept), device), TensorTraces(pack(held), device)
    return Material(training, validation, tuple(videos), drawn, wide)


def split(bandwidths: Sequence[Bandwidth]) -> tuple[list[Bandwidth], list[Bandwidth]]:
    """Training and validation, by recording: every fifth recording validates."""
    recordings = sorted({one.recording for one in bandwidths})
    held = set(recordings[VALIDATION_SHARE - 1 :: VALIDATION_SHARE])
    kept = [one for one in bandwidths if one.recording not in held]
    return kept, [one for one in bandwidths if one.recording in held]


def evened(one: Bandwidth) -> Bandwidth:
    """The same recording with running means of its rates over the last EVENED_S: links that change
    slowly, of which few recordings of mobile networks are.
    """
    ends = one.times_s
    passed = np.concatenate([[0.0], np.cumsum(one.rates_mbps[1:] * np.diff(ends))])
    begins = np.maximum(ends - EVENED_S, ends[0])
    means = (passed - np.interp(begins, ends, passed)) / np.maximum(ends - begins, 1e-9)
    means[0] = means[1]
    return replace(one, rates_mbps=means)


def draw_ratios(n: int, rng: np.random.Generator) -> Floats:
    """Mean rates over the top bitrate [n], even in their logarithm."""
    return np.exp(rng.uniform(np.log(LEAST_RATIO), np.log(GREATEST_RATIO), n))


def draw_video(rng: np.random.Generator, chunks: int = 48) -> Video:
    """A random ladder with chunks of 2 to 5 s whose sizes vary together, as scenes do.

    3 to 10 levels in uneven steps from 150..1200 kbit/s up to 6..40 times that; real mean rates up
    to a quarter off the nominal ones; the logarithm of sizes deviates by .05 to .9.
    """
    levels = int(rng.integers(3, 11))
    lowest = np.exp(rng.uniform(np.log(150), np.log(1200)))
    span = np.exp(rng.uniform(np.log(6), np.log(40)))
    steps = rng.uniform(0.6, 1.4, levels - 1)
    shares = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
    bitrates = np.round(lowest * span**shares)
    chunk_ms = float(rng.choice([2000, 3000, 4000, 4000, 5000]))
    sd = np.exp(rng.uniform(np.log(0.05), np.log(0.9)))
    memory = rng.uniform(0.0, 0.9)
    scene = np.zeros(chunks)
    for chunk in range(chunks):
        before = scene[chunk - 1] * memory if chunk else 0.0
        scene[chunk] = before + rng.normal() * np.sqrt(1 - memory**2)
    own = rng.normal(size=(chunks, levels)) * 0.15
    factors = np.exp(sd * (scene[:, None] + own) - sd**2 / 2)
    real = bitrates * rng.uniform(0.85, 1.25, levels if rng.random() < 0.3 else 1)
    return Video("drawn", chunk_ms, bitrates, real * factors * chunk_ms / 8)


def _means_mbps(traces: TensorTraces) -> Floats:
    """Mean rate over time of each trace [n]."""
    means: Floats = (traces.lap_mb / traces.length_s).cpu().numpy()
    return means
