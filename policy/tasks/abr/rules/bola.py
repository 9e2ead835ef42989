"""BOLA (Spiteri et al., INFOCOM 2016): as in Sabre, as in dash.js, and as in published logs."""

from __future__ import annotations

import numpy as np

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Floats, Ints
from policy.tasks.abr.rules.estimate import Ewma, highest_below
from policy.tasks.abr.session import Sessions

GAMMA_P = 5.0
# The buffer up to which dash.js's BOLA stays at the lowest level.
MINIMUM_S = 10.0


class Bola:
    """Maximises (V (utility + gamma p) - buffer) / size; utility is ln(bitrate / lowest).

    V and gamma p follow from the buffer that is aimed for. By default as in Sabre: `target_s`
    (None takes the sessions' buffer cap), less near both ends of the video, gamma p = 5. With
    `stable_s` above 10 as in dash.js: the lowest level is left at about 10 s, the highest is taken
    at about `stable_s`, whatever the cap. `capped` 0 drops the throughput cap, and `by_size` 1
    divides by the size of the next chunk instead of the nominal bitrate.
    `bola:stable_s=30,capped=0,by_size=1` is the BOLA of the published logs.
    """

    def __init__(
        self,
        target_s: float | None = None,
        stable_s: float = 0.0,
        capped: int = 1,
        by_size: int = 0,
    ) -> None:
        if stable_s and stable_s <= MINIMUM_S:
            raise PolicyError(f"bola: stable_s {stable_s:g} must lie above {MINIMUM_S:g}")
        self.target_s, self.stable_s = target_s, stable_s
        self.capped, self.by_size = capped, by_size

    def begin(self, sessions: Sessions) -> None:
        self.average = Ewma(sessions.video, len(sessions))
        self._last: Ints = sessions.state.level.copy()

    def decide(self, sessions: Sessions) -> Ints:
        self.average.push(sessions.state)
        return self.choose(sessions, self.average)

    def choose(self, sessions: Sessions, average: Ewma) -> Ints:
        """The decision on an average that knows the newest chunk already."""
        video = sessions.video
        utility = np.log(video.bitrates_kbps) - np.log(video.bitrates_kbps[0])
        if self.stable_s:
            gamma_p = utility[-1] / (self.stable_s / MINIMUM_S - 1)
            v = MINIMUM_S * 1000 / gamma_p
            utility = utility + 1
        else:
            gamma_p = GAMMA_P
            from_ends = min(sessions.chunk, sessions.chunks_left)
            cap_ms = sessions.buffer_cap_ms if self.target_s is None else self.target_s * 1000
            target_ms = min(cap_ms, max(from_ends / 2, 3) * video.chunk_ms)
            v = (target_ms - video.chunk_ms) / (utility[-1] + gamma_p)
        buffer: Floats = sessions.state.buffer_ms[:, None]
        size = video.sizes_bytes[sessions.chunk] if self.by_size else video.bitrates_kbps
        wanted: Ints = ((v * (utility + gamma_p) - buffer) / size).argmax(axis=1)
        if not self.capped:
            return wanted
        affordable = highest_below(video, average.kbps, average.latency_ms)
        capped = np.where(self._last > affordable, self._last, affordable + 1)
        rises_too_far = (wanted > self._last) & (wanted > affordable)
        self._last = np.where(rises_too_far, capped, wanted).astype(np.int64)
        return self._last
