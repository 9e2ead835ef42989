"""Replays every chunk of published logs through the `pensieve` model and counts differences.

    python -m experiments.abr.replay FOLDER

FOLDER holds `logs/*.parquet`, `traces/SET/*` and `videos/*.json`. Prints one line a log and exits
with 1 if any download time, buffer or stall differs by more than 1e-6 ms.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from policy.tasks.abr.bandwidth import find_bandwidths, pack
from policy.tasks.abr.session import start
from policy.tasks.abr.video import read_video

TOLERANCE_MS = 1e-6


def replay(log: pd.DataFrame, folder: Path, trace_set: str) -> np.ndarray:
    """Absolute differences [chunks, 3] in ms: download time, buffer, stall."""
    bandwidths = find_bandwidths(str(folder / "traces" / trace_set))
    traces = pack(bandwidths)
    index = {name: i for i, name in enumerate(traces.names)}
    found = []
    for video_name, of_video in log.groupby("video"):
        video = read_video(folder / "videos" / f"{video_name}.json")
        of_video = of_video.sort_values(["scheme", "trace", "chunk"], kind="stable")
        chunks = int(of_video["chunk"].max()) + 1
        sessions = len(of_video) // chunks
        first = of_video.iloc[::chunks]
        kbps = of_video["bitrate_kbps"].to_numpy().reshape(sessions, chunks)
        levels = np.searchsorted(video.bitrates_kbps, kbps)
        logged = {
            key: of_video[key].to_numpy(float).reshape(sessions, chunks)
            for key in ("download_ms", "buffer_s", "rebuffer_s")
        }
        run = start(
            video.clipped(chunks),
            traces,
            trace=[index[name] for name in first["trace"]],
            start_sample=first["start"].to_numpy(),
            start_level=None,
        )
        for chunk in range(chunks):
            step = run.step(levels[:, chunk])
            found.append(
                np.abs(
                    np.stack(
                        [
                            step.download_ms - logged["download_ms"][:, chunk],
                            run.state.buffer_ms - logged["buffer_s"][:, chunk] * 1000,
                            step.stall_ms - logged["rebuffer_s"][:, chunk] * 1000,
                        ],
                        axis=1,
                    )
                )
            )
    return np.concatenate(found)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m experiments.abr.replay FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    logs = sorted((folder / "logs").glob("*.parquet"))
    if not logs:
        print(f"{folder}/logs: no *.parquet there", file=sys.stderr)
        return 2
    wrong = 0
    for file in logs:
        difference = replay(pd.read_parquet(file), folder, file.stem)
        over = int((difference > TOLERANCE_MS).any(axis=1).sum())
        wrong += over
        greatest = ", ".join(
            f"{name} {value:.1e}"
            for name, value in zip(
                ("download", "buffer", "stall"), difference.max(axis=0), strict=True
            )
        )
        print(
            f"{file.stem}: {len(difference)} chunks, {over} differ by > 1e-6 ms; "
            f"greatest, ms: {greatest}"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
