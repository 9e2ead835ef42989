"""A session that a real player measures, in the form that rules and learned policies decide on."""

from __future__ import annotations

import numpy as np

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Traces
from policy.tasks.abr.network import INITIAL_WINDOW_BYTES, Model
from policy.tasks.abr.qoe import Qoe
from policy.tasks.abr.rules.base import Abr, Stateless
from policy.tasks.abr.rules.oracle_mean import OracleMean
from policy.tasks.abr.session import BUFFER_CAP_MS, HISTORY, Sessions, State
from policy.tasks.abr.video import Video

# Estimators divide by the time from first to last byte; of a chunk that came in one piece it is 0.
LARGEST_LATENCY_SHARE = 0.95

_NO_TRACES = Traces((), (), np.empty(0), np.empty(0), np.zeros(1, np.int64))


def measured(video: Video, qoe: Qoe, buffer_cap_ms: float = BUFFER_CAP_MS) -> Sessions:
    """One session before its first chunk, without a trace: `record` takes the place of `step`."""
    state = State(
        trace=np.zeros(1, np.int64),
        at=np.zeros(1, np.int64),
        clock_s=np.zeros(1),
        scale=np.ones(1),
        rtt_ms=np.zeros(1),
        buffer_ms=np.zeros(1),
        level=np.full(1, -1),
        window_bytes=np.full(1, INITIAL_WINDOW_BYTES),
        idle_ms=np.zeros(1),
        size_bits=np.zeros((1, HISTORY)),
        download_ms=np.zeros((1, HISTORY)),
        latency_ms=np.zeros((1, HISTORY)),
    )
    return Sessions(
        video, _NO_TRACES, state, model=Model.SESSION, qoe=qoe, buffer_cap_ms=buffer_cap_ms
    )


def record(
    session: Sessions, level: int, size_bytes: float, download_ms: float, latency_ms: float
) -> None:
    """Takes in a chunk that has arrived, `download_ms` after its request; its first byte after
    `latency_ms`. Raises PolicyError if a value is out of range.
    """
    if session.done or not 0 <= level < session.video.levels:
        raise PolicyError(f"chunk {session.chunk}, level {level}: the video has no such chunk")
    if not (0 < size_bytes < np.inf and 0 < download_ms < np.inf and 0 <= latency_ms < np.inf):
        raise PolicyError(
            f"a chunk of {size_bytes:g} bytes in {download_ms:g} ms, latency {latency_ms:g} ms: "
            "they must be positive"
        )
    state = session.state
    latency_ms = min(latency_ms, LARGEST_LATENCY_SHARE * download_ms)
    for history, value in (
        (state.size_bits, size_bytes * 8.0),
        (state.download_ms, download_ms),
        (state.latency_ms, latency_ms),
    ):
        history[0, :-1] = history[0, 1:]
        history[0, -1] = value
    state.level[0] = level
    session.chunk += 1


def set_buffer(session: Sessions, buffer_ms: float) -> None:
    """What is buffered at the time of the decision. Raises PolicyError."""
    if not 0 <= buffer_ms < np.inf:
        raise PolicyError(f"a buffer of {buffer_ms:g} ms: it must be 0 or more")
    session.state.buffer_ms[0] = buffer_ms


def check_live(policy: Abr, name: str) -> None:
    """Raises PolicyError for a policy that must know the trace beforehand."""
    if isinstance(policy, OracleMean):
        raise PolicyError(f"{name}: it must know the trace beforehand; it plays in simulation only")


def check_served(policy: Abr, name: str) -> None:
    """Raises PolicyError for a policy that cannot answer for players it does not know."""
    check_live(policy, name)
    if not isinstance(policy, Stateless):
        raise PolicyError(
            f"abr {name}: it remembers earlier chunks, so it cannot be served; players run it "
            "themselves (leave out `policy:`)"
        )
