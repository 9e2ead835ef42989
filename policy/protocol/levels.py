"""A player's session to and from the request of `Policy.Choose`."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from policy.errors import PolicyError
from policy.protocol import policy_pb2 as pb
from policy.tasks.abr.measured import measured, record, set_buffer
from policy.tasks.abr.qoe import Kind, qoe_of
from policy.tasks.abr.session import HISTORY, Sessions
from policy.tasks.abr.video import MAX_CHUNKS, MAX_LEVELS, Video

MAX_REQUEST_BYTES = 32 << 20
_LARGEST_SIZE = 2**32 - 1


def request_of(session: Sessions, policy: str) -> pb.LevelRequest:
    """The request that asks `policy` for the next level of a session of one player."""
    video, state = session.video, session.state
    known = min(session.chunk, HISTORY)

    def newest(history: NDArray[np.float64]) -> bytes:
        return bytes(history[0, HISTORY - known :].astype("<f8").tobytes())

    sizes = np.minimum(np.rint(video.sizes_bytes), _LARGEST_SIZE)
    return pb.LevelRequest(
        policy=policy,
        chunk_ms=video.chunk_ms,
        bitrates_kbps=video.bitrates_kbps.astype("<f8").tobytes(),
        sizes_bytes=sizes.astype("<u4").tobytes(),
        qoe=session.qoe.kind,
        quality=b"" if video.quality is None else video.quality.astype("<f8").tobytes(),
        chunk=session.chunk,
        level=int(state.level[0]),
        buffer_ms=float(state.buffer_ms[0]),
        buffer_cap_ms=session.buffer_cap_ms,
        size_bits=newest(state.size_bits),
        download_ms=newest(state.download_ms),
        latency_ms=newest(state.latency_ms),
    )


def session_of(request: pb.LevelRequest) -> Sessions:
    """The session that a request describes. Raises PolicyError, naming the field, if it is none."""
    rates = _column(request, "bitrates_kbps", "<f8")
    levels = len(rates)
    if not 2 <= levels <= MAX_LEVELS:
        raise PolicyError(f"bitrates_kbps: {levels} levels; from 2 to {MAX_LEVELS} are possible")
    sizes = _table(request, "sizes_bytes", "<u4", levels)
    quality = _table(request, "quality", "<f8", levels) if request.quality else None
    if not (2 <= len(sizes) <= MAX_CHUNKS and 0 < request.chunk_ms <= 60_000):
        raise PolicyError(f"{len(sizes)} chunks of {request.chunk_ms:g} ms are no video")
    if not 1 <= request.chunk < len(sizes):
        raise PolicyError(f"chunk: {request.chunk} must lie from 1 to {len(sizes) - 1}")
    if not 2 * request.chunk_ms <= request.buffer_cap_ms < 1e9:
        raise PolicyError(f"buffer_cap_ms: {request.buffer_cap_ms:g} must hold two chunks")
    kind = next((kind for kind in get_args(Kind) if kind == (request.qoe or "linear")), None)
    if kind is None:
        raise PolicyError(f"qoe: {request.qoe!r} must be one of {', '.join(get_args(Kind))}")
    video = Video("request", request.chunk_ms, rates, sizes, quality)
    session = measured(video, qoe_of(video, kind), request.buffer_cap_ms)
    columns = [_column(request, name, "<f8") for name in ("size_bits", "download_ms", "latency_ms")]
    if len({len(column) for column in columns}) != 1 or not 1 <= len(columns[0]) <= HISTORY:
        raise PolicyError(f"size_bits, download_ms, latency_ms: from 1 to {HISTORY} values each")
    for bits, download_ms, latency_ms in zip(*(column.tolist() for column in columns), strict=True):
        record(session, min(request.level, levels), bits / 8, download_ms, latency_ms)
    session.chunk = request.chunk
    set_buffer(session, request.buffer_ms)
    return session


def _column(request: pb.LevelRequest, name: str, kind: DTypeLike) -> NDArray[np.float64]:
    data = getattr(request, name)
    if len(data) % np.dtype(kind).itemsize:
        raise PolicyError(f"{name}: {len(data)} bytes are no column of {np.dtype(kind).name}")
    values = np.frombuffer(data, kind).astype(np.float64)
    if not np.isfinite(values).all():
        raise PolicyError(f"{name}: a value is not a finite number")
    return values


def _table(
    request: pb.LevelRequest, name: str, kind: DTypeLike, levels: int
) -> NDArray[np.float64]:
    values = _column(request, name, kind)
    if len(values) % levels:
        raise PolicyError(f"{name}: {len(values)} values are no rows of {levels} levels")
    return values.reshape(-1, levels)
