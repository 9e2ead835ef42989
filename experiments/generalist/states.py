"""Which states a model comes into when it streams, how many samples are like them, and what other
models would choose there.

    python -m experiments.generalist.states CHECKPOINT OTHER... --abr ABR --data data/abr

CHECKPOINT plays the test recordings; at each chunk every model chooses. DATA holds the samples it
learned from. Prints a table by the buffer of links whose rate is below half of the top bitrate: the
level of the chunk before, and of each model its mean level and how often it repeats the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from experiments.congestion.output import markdown
from experiments.generalist.abr_data import VIDEOS, recordings
from policy.model.load import load_model
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.joint import ModelAbr
from policy.tasks.abr.labelled import PATTERN
from policy.tasks.abr.network import Model
from policy.tasks.abr.observation import observe
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.rules.base import Abr
from policy.tasks.abr.session import BUFFER_CAP_MS
from policy.tasks.abr.session import start as start_sessions
from policy.tasks.abr.video import Video, read_video

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BANDS_S = (0.0, 8.0, 15.0, 30.0, 61.0)
"""Edges of the table's rows."""
# Places in `policy/tasks/abr/observation.py`'s shared features, from their end.
_BUFFER_OF_CAP, _LOG_ESTIMATE_OF_TOP = -13, -7


@dataclass(frozen=True, eq=False)
class States:
    """Of links below half of the top bitrate, one entry a decision [n]."""

    buffer_s: Floats
    before: Ints
    levels: tuple[Ints, ...]
    every: int
    """Decisions on links of any rate."""


def slow(shared: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the estimate of the rate is below half of the top bitrate [n], of shared features
    [n, features].
    """
    below: NDArray[np.bool_] = shared[:, _LOG_ESTIMATE_OF_TOP] < np.log(0.5)
    return below


def played(policies: Sequence[Abr], videos: Sequence[Video], traces: list[Bandwidth]) -> States:
    """What the first policy comes into, and what each chooses there."""
    buffers_s: list[Floats] = []
    before: list[Ints] = []
    levels: list[list[Ints]] = [[] for _ in policies]
    every = 0
    for video in videos:
        sessions = start_sessions(video, pack(traces), qoe=qoe_of(video), model=Model.PENSIEVE)
        for policy in policies:
            policy.begin(sessions)
        while not sessions.done:
            kept = slow(np.asarray(observe(sessions)[0]))
            buffers_s.append(sessions.state.buffer_ms[kept] / 1e3)
            before.append(sessions.state.level[kept])
            every += len(sessions)
            chosen = [policy.decide(sessions) for policy in policies]
            for mine, one in zip(levels, chosen, strict=True):
                mine.append(one[kept])
            sessions.step(chosen[0])
    return States(
        np.concatenate(buffers_s),
        np.concatenate(before),
        tuple(np.concatenate(one) for one in levels),
        every,
    )


def bands(buffer_s: Floats) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The table's rows: a name and which entries are in it [n]."""
    for low, high in pairwise(BANDS_S):
        yield f"{low:g} to {high:g} s", (buffer_s >= low) & (buffer_s < high)


def table(states: States, sampled_s: Floats, samples: int, names: Sequence[str]) -> str:
    """The table as Markdown. sampled_s: buffers of the samples on slow links; samples: of all."""
    lines = []
    for (label, rows), (_, alike) in zip(bands(states.buffer_s), bands(sampled_s), strict=True):
        share = f"{100 * rows.sum() / states.every:.1f} %"
        cells: list[object] = [label, share, f"{100 * alike.sum() / samples:.1f} %"]
        if rows.any():
            cells.append(f"{states.before[rows].mean():.2f}")
            for levels in states.levels:
                repeats = 100 * (levels[rows] == states.before[rows]).mean()
                cells.append(f"{levels[rows].mean():.2f}, {repeats:.0f} %")
        else:
            cells += ["–"] * (1 + len(states.levels))
        lines.append(cells)
    return markdown(["buffer", "of its decisions", "of the samples", "level before", *names], lines)


@click.command()
@click.argument("checkpoints", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--abr", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--side", default="train", show_default=True, help="Of the samples.")
def main(checkpoints: tuple[str, ...], abr: Path, data: Path, side: str) -> None:
    """Print the table."""
    files = sorted((data / side).glob(PATTERN))
    if not files:
        raise click.ClickException(f"{data / side} holds no samples ({PATTERN}); see abr_data")
    shared = np.concatenate([np.load(file, allow_pickle=False)["shared"] for file in files])
    sampled_s = shared[slow(shared), _BUFFER_OF_CAP].astype(np.float64) * BUFFER_CAP_MS / 1e3
    videos = [read_video(abr / "videos" / f"{name}.json").clipped(48) for name in VIDEOS]
    policies = [ModelAbr(load_model(Path(one), "cpu", task="abr")) for one in checkpoints]
    states = played(policies, videos, recordings(abr, "test"))
    click.echo(table(states, sampled_s, len(shared), checkpoints))


if __name__ == "__main__":
    main()
