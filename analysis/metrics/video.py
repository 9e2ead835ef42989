"""What a viewer saw: stalls, freezes, bitrate and frame delay."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from analysis.metrics.percentiles import PercentilesMs, percentiles_ms
from analysis.run import Flow

FILMS = ("video", "call")
"""Kinds of traffic whose flows log frames."""
_FREEZE_FRAMES = 30
_FREEZE_EXTRA_NS = 150_000_000
_JITTER_BUFFER_MS = 100.0  # the receiver's default, where the flow's options do not say


class VideoMetrics(BaseModel):
    """Playing time runs from the first displayed frame to the end of the flow."""

    model_config = ConfigDict(frozen=True)

    on_time_bitrate_mbps: float = Field(
        description="bytes of frames shown on time x 8 / length of the flow, Mbit/s"
    )
    on_time_share: float = Field(
        description="frames shown on time, by the jitter buffer's delay after capture / captured"
    )
    on_time_100ms_bitrate_mbps: float = Field(
        description="bytes of frames shown within 100 ms of capture x 8 / length of the flow"
    )
    on_time_100ms_share: float = Field(
        description="frames shown within 100 ms of capture / frames captured"
    )
    on_time_200ms_bitrate_mbps: float = Field(
        description="bytes of frames shown within 200 ms of capture x 8 / length of the flow"
    )
    on_time_200ms_share: float = Field(
        description="frames shown within 200 ms of capture / frames captured"
    )
    stall_rate_100ms: float = Field(
        description="sum of display gaps longer than 100 ms / playing time"
    )
    stall_rate_200ms: float = Field(description="the same for 200 ms")
    stall_rate_500ms: float = Field(description="the same for 500 ms")
    freeze_rate: float = Field(description="sum of WebRTC freezes / playing time")
    bitrate_mbps: float = Field(description="bytes of displayed frames x 8 / playing time, Mbit/s")
    frame_delay_ms: PercentilesMs = Field(description="capture to completion at the receiver")
    displayed_frames: int = Field(description="frames displayed")
    skipped_share: float = Field(description="frames that the sender never sent / frames captured")


def display_gaps_ns(frames: pd.DataFrame, stop_ns: int, pause_ns: int = 0) -> npt.NDArray[np.int64]:
    """Gaps between consecutive displayed frames; the last one is open and ends with the flow.
    ``pause_ns``: for so long the camera was off once, and nothing was to be seen.
    """
    # Frames that came late are shown at one instant: the viewer saw the last of them.
    shown = np.unique(frames["displayed_ns"].dropna().to_numpy(dtype=np.int64))
    shown = shown[shown <= stop_ns]
    if pause_ns:
        captured_ns = np.sort(frames["captured_ns"].to_numpy(dtype=np.int64))
        for resumed_ns in captured_ns[1:][np.diff(captured_ns) >= pause_ns][:1]:
            shown = np.maximum.accumulate(shown - pause_ns * (shown >= resumed_ns))
            stop_ns -= pause_ns
    return np.diff(np.append(shown, stop_ns)) if len(shown) else np.empty(0, np.int64)


def stall_rate(gaps_ns: npt.NDArray[np.int64], threshold_ns: int) -> float:
    """Share of playing time inside gaps longer than the threshold; 1 if nothing was ever
    displayed.
    """
    if len(gaps_ns) == 0:
        return 1.0
    return float(gaps_ns[gaps_ns > threshold_ns].sum() / max(1, gaps_ns.sum()))


def freeze_rate(gaps_ns: npt.NDArray[np.int64]) -> float:
    """Share of playing time in freezes: gaps of at least max(3 avg, avg + 150 ms), avg over the
    last 30 frames.

    W3C webrtc-stats, freezeCount. The first gap has no average to be held against.
    """
    if len(gaps_ns) == 0:
        return 1.0
    recent: deque[int] = deque(maxlen=_FREEZE_FRAMES)
    frozen_ns = 0
    for gap_ns in gaps_ns:
        if recent:
            average = sum(recent) / len(recent)
            if gap_ns >= max(3 * average, average + _FREEZE_EXTRA_NS):
                frozen_ns += int(gap_ns)
        recent.append(int(gap_ns))
    return frozen_ns / max(1, int(gaps_ns.sum()))


def on_time(frames: pd.DataFrame, flow: Flow, within_ns: int) -> tuple[float, float]:
    """Bitrate (Mbit/s) and share of the frames that were complete within this time of their
    capture.

    frames: all that the flow captured. The bitrate counts their bytes over the whole length of the
    flow, start-up included; the share is of all frames, skipped ones too. The completion counts,
    not the display, which a receiver with a longer jitter buffer puts off.
    """
    complete_ns = frames["completed_ns"]
    chosen = complete_ns.notna() & (complete_ns <= flow.stop_ns)
    chosen &= complete_ns - frames["captured_ns"] <= within_ns
    bits = float(frames.loc[chosen, "size_bytes"].sum()) * 8
    return bits * 1e3 / flow.duration_ns, float(chosen.mean())


def jitter_buffer_ns(flow: Flow) -> int:
    """The playout delay of the flow's receiver."""
    value = flow.options.get("jitter_buffer_ms", _JITTER_BUFFER_MS)
    known = isinstance(value, int | float) and 0 <= value <= 60_000
    return round((value if known else _JITTER_BUFFER_MS) * 1e6)


def pause_ns(flow: Flow) -> int:
    """For how long the flow's camera was off."""
    value = flow.options.get("pause_s", 0)
    return round(value * 1e9) if isinstance(value, int | float) and 0 <= value <= 86_400 else 0


def video_metrics(frames: pd.DataFrame, flow: Flow) -> VideoMetrics | None:
    """Metrics of a video flow; None if it logged no frame."""
    rows = frames[frames["flow"] == flow.flow] if len(frames) else frames
    if not len(rows):
        return None
    gaps_ns = display_gaps_ns(rows, flow.stop_ns, pause_ns(flow))
    shown = rows[rows["displayed_ns"].notna() & (rows["displayed_ns"] <= flow.stop_ns)]
    playing_ns = int(gaps_ns.sum())
    live = on_time(rows, flow, jitter_buffer_ns(flow))
    within_100, within_200 = on_time(rows, flow, 100_000_000), on_time(rows, flow, 200_000_000)
    return VideoMetrics(
        on_time_bitrate_mbps=live[0],
        on_time_share=live[1],
        on_time_100ms_bitrate_mbps=within_100[0],
        on_time_100ms_share=within_100[1],
        on_time_200ms_bitrate_mbps=within_200[0],
        on_time_200ms_share=within_200[1],
        stall_rate_100ms=stall_rate(gaps_ns, 100_000_000),
        stall_rate_200ms=stall_rate(gaps_ns, 200_000_000),
        stall_rate_500ms=stall_rate(gaps_ns, 500_000_000),
        freeze_rate=freeze_rate(gaps_ns),
        bitrate_mbps=float(shown["size_bytes"].sum()) * 8e3 / playing_ns if playing_ns else 0.0,
        frame_delay_ms=percentiles_ms(rows["completed_ns"].dropna() - rows["captured_ns"]),
        displayed_frames=len(shown),
        skipped_share=float(rows["sent_ns"].isna().mean()),
    )
