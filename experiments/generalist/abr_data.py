"""Labelled sessions for bitrate streaming, of all three splits.

    python -m experiments.generalist.abr_data --shared /path/to/abr --out data/abr

Recordings of train-127 and puffer-21/train; of every five the third is for test and the fifth
validates. The network that ships plays beside the rules, and values each level of each state.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click
import numpy as np
import torch

from policy.tasks.abr.bandwidth import Bandwidth, find_bandwidths, pack
from policy.tasks.abr.learned import load_policy
from policy.tasks.abr.tensors import TensorTraces
from policy.tasks.abr.training.choosers import rules
from policy.tasks.abr.training.material import Material
from policy.tasks.abr.training.rounds import Settings, collect
from policy.tasks.abr.video import read_video

SETS = ("train-127", "puffer-21/train")
VIDEOS = ("envivio", "bbb")
SIDES = ("train", "validation", "test")
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


@click.command()
@click.option("--shared", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--sessions", default=512, show_default=True, help="Of the training side.")
@click.option("--device", default="cpu", show_default=True)
def main(shared: Path, out: Path, sessions: int, device: str) -> None:
    """Play and label the sessions of all sides."""
    videos = [read_video(shared / "videos" / f"{name}.json").clipped(48) for name in VIDEOS]
    shipped = load_policy(SHIPPED, device)
    shipped.net.eval()
    for number, side in enumerate(SIDES):
        torch.manual_seed(number)
        traces = TensorTraces(pack(recordings(shared, side)), device)
        material = Material(traces, traces, tuple(videos))
        count = sessions if side == "train" else max(sessions // 4, 2)
        folder = out / side
        folder.mkdir(parents=True, exist_ok=True)
        states = 0
        for index, drawn in enumerate(material.draw(count, np.random.default_rng(number))):
            batch = collect(drawn, [*rules(), *[shipped] * 6], shipped, Settings())
            arrays = {one.name: getattr(batch, one.name).cpu().numpy() for one in fields(batch)}
            np.savez_compressed(folder / f"sessions-{index:03d}.npz", **arrays)
            states += len(batch.taken)
        click.echo(f"{folder}: {states} states of {len(traces)} traces")


if __name__ == "__main__":
    main()
