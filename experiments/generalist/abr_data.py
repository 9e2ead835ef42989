"""Labelled sessions for bitrate streaming, of all three splits.

    python -m experiments.generalist.abr_data --shared /path/to/abr --out data/abr

Recordings of train-127 and puffer-21/train; of every five the third is for test and the fifth
validates. Each family of recordings gives as many sessions. The network that ships plays beside the
rules and, with --student, a model of several tasks, and values each level of each state.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from experiments.generalist.families import FAMILIES, of_recording
from policy.model.checkpoint import load as load_checkpoint
from policy.tasks.abr.bandwidth import Bandwidth, find_bandwidths, pack
from policy.tasks.abr.layout import LEVELS, UNPLANNED
from policy.tasks.abr.learned import load_policy
from policy.tasks.abr.tensor_observation import observe
from policy.tasks.abr.tensors import TensorSessions, TensorTraces
from policy.tasks.abr.training.choosers import Chooser, rules
from policy.tasks.abr.training.material import Material
from policy.tasks.abr.training.rounds import Settings, collect
from policy.tasks.abr.video import read_video

SETS = ("train-127", "puffer-21/train")
VIDEOS = ("envivio", "bbb")
SIDES = ("train", "validation", "test")
_CHUNK = 8192
SHIPPED = Path(__file__).parents[2] / "policy" / "tasks" / "abr" / "checkpoints" / "mlp.safetensors"


def recordings(shared: Path, side: str) -> list[Bandwidth]:
    """Traces of the recordings of one side; of puffer at most 120 recordings in all."""
    kept = []
    for name in SETS:
        traces = find_bandwidths(str(shared / "traces" / name))
        names = sorted({one.recording for one in traces})[:127]
        mine = {
            one
            for number, one in enumerate(names)
            if {2: "test", 4: "validation"}.get(number % 5, "train") == side
        }
        kept += [one for one in traces if one.recording in mine]
    return kept


class Student:
    """A model of several tasks that chooses levels: its own states are labelled, too."""

    def __init__(self, checkpoint: Path, device: str) -> None:
        model, _ = load_checkpoint(checkpoint, task="abr")
        self._model, self._device = model.to(device).eval(), device

    @torch.no_grad()
    def choose(self, sessions: TensorSessions) -> Tensor:
        """Levels [n]."""
        shared, by_level = observe(sessions, self._device)
        by_level = by_level[..., :UNPLANNED]
        n, levels, width = by_level.shape
        rows = torch.zeros(n, LEVELS, width, device=self._device)
        rows[:, :levels] = by_level
        exists = torch.zeros(n, LEVELS, device=self._device)
        exists[:, :levels] = 1
        scores = [
            self._model({"shared": a, "by_level": b, "exists": c}).flatten(1)
            for a, b, c in zip(
                shared.float().split(_CHUNK), rows.split(_CHUNK), exists.split(_CHUNK), strict=True
            )
        ]
        return torch.cat(scores)[:, :levels].argmax(dim=1)


@click.command()
@click.option("--shared", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--sessions", default=768, show_default=True, help="Of the training side.")
@click.option("--student", type=click.Path(exists=True, path_type=Path))
@click.option("--explore", default=0.05, show_default=True, help="Share of random levels.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--sides", default=",".join(SIDES), show_default=True)
@click.option("--families", default=",".join(FAMILIES["abr"][:-1]), show_default=True)
def main(
    shared: Path,
    out: Path,
    sessions: int,
    student: Path | None,
    explore: float,
    device: str,
    sides: str,
    families: str,
) -> None:
    """Play and label the sessions; sides and families can be shared between processes."""
    videos = [read_video(shared / "videos" / f"{name}.json").clipped(48) for name in VIDEOS]
    shipped = load_policy(SHIPPED, device)
    shipped.net.eval()
    behaviours: list[Chooser] = [*rules(), *[shipped] * 6]
    if student is not None:
        behaviours += [Student(student, device)] * 6
    for number, side in enumerate(SIDES):
        if side not in sides.split(","):
            continue
        folder = out / side
        folder.mkdir(parents=True, exist_ok=True)
        mine = recordings(shared, side)
        for family in families.split(","):
            torch.manual_seed(number)
            of_family = [one for one in mine if of_recording(one.recording) == family]
            traces = TensorTraces(pack(of_family), device)
            material = Material(traces, traces, tuple(videos))
            count = max((sessions if side == "train" else sessions // 4) // 3, 2)
            states = 0
            for index, drawn in enumerate(material.draw(count, np.random.default_rng(number))):
                batch = collect(drawn, behaviours, shipped, Settings(explore=explore))
                arrays = {one.name: getattr(batch, one.name).cpu().numpy() for one in fields(batch)}
                np.savez_compressed(folder / f"sessions-{family}-{index:03d}.npz", **arrays)
                states += len(batch.taken)
            click.echo(f"{folder}, {family}: {states} states of {len(of_family)} traces")


if __name__ == "__main__":
    main()
