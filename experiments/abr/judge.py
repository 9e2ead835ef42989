"""Plays checkpoints on every test set and video, on a GPU; one QoE a trace.

    python -m experiments.abr.judge DATA OUT.json CHECKPOINT...

DATA holds `test/SET/*` (text, `seconds Mbit/s`) and `videos/*.json`. OUT.json holds the names of
the traces by set, and by checkpoint, set and video the mean linear QoE of chunks 1 to 47. With
`--kept-out` there are more sets, `kept-out` and `kept-out-N`: the recordings that training on these
traces keeps for validation, at their own rates and at N times them. Only these may choose a
checkpoint. Players hold 60 s, as in the literature, or what `--buffer-s` says.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from policy.tasks.abr.bandwidth import Traces, find_bandwidths, pack
from policy.tasks.abr.learned import Learned, load_policy
from policy.tasks.abr.network import Model
from policy.tasks.abr.play import play
from policy.tasks.abr.portable import load_portable
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.session import BUFFER_CAP_MS, start
from policy.tasks.abr.tensors import TensorTraces, start_tensors
from policy.tasks.abr.training.material import split
from policy.tasks.abr.video import Video, read_video

CHUNKS = 48
FASTER = (2, 5)


def on_gpu(
    policy: Learned, video: Video, traces: TensorTraces, buffer_cap_ms: float = BUFFER_CAP_MS
) -> list[float]:
    """Mean QoE of every trace, as tensors."""
    n = len(traces)
    sessions = start_tensors(
        video,
        traces,
        qoe_of(video),
        model=Model.PENSIEVE,
        trace=np.arange(n),
        start_sample=np.ones(n, np.int64),
        scale=np.ones(n),
        rtt_ms=np.full(n, 80.0),
        start_level=np.ones(n, np.int64),
        buffer_cap_ms=buffer_cap_ms,
    )
    chunks, total = sessions.chunks_left, torch.zeros(n, device=traces.device)
    while not sessions.done:
        total = total + sessions.step(policy.choose(sessions))
    return [float(one) for one in (total / chunks).cpu()]


def on_cpu(
    file: Path, video: Video, traces: Traces, buffer_cap_ms: float = BUFFER_CAP_MS
) -> list[float]:
    """The same as arrays, without PyTorch where the checkpoint is exported."""
    policy = load_portable(file) or load_policy(file)
    return [
        float(one) for one in play(policy, start(video, traces, buffer_cap_ms=buffer_cap_ms)).qoe
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Play checkpoints on every test set and video.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--backbone", help="folder of the language model's weights")
    parser.add_argument("--shape", help="folder of the configuration of the random twin")
    parser.add_argument("--kept-out", action="append", default=[], help="traces; repeatable")
    parser.add_argument("--buffer-s", type=float, default=BUFFER_CAP_MS / 1000)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    folders = sorted(path for path in (args.data / "test").iterdir() if path.is_dir())
    sets = {folder.name: find_bandwidths(str(folder)) for folder in folders}
    if args.kept_out:
        kept_out = split(find_bandwidths(*args.kept_out))[1]
        sets["kept-out"] = kept_out
        for times in FASTER:
            faster = [replace(one, rates_mbps=one.rates_mbps * times) for one in kept_out]
            sets[f"kept-out-{times}"] = faster
    packed = pack([one for group in sets.values() for one in group])
    traces = TensorTraces(packed, args.device)
    videos = [
        read_video(path).clipped(CHUNKS) for path in sorted((args.data / "videos").glob("*.json"))
    ]
    names = {name: [one.name for one in group] for name, group in sets.items()}
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    for file in args.checkpoints:
        began = time.monotonic()
        random = "-random-" in file.name
        policy = load_policy(file, args.device, args.shape if random else args.backbone)
        by_set: dict[str, dict[str, list[float]]] = {name: {} for name in sets}
        for video in videos:
            qoe = (
                on_cpu(file, video, packed, 1000 * args.buffer_s)
                if args.device == "cpu"
                else on_gpu(policy, video, traces, 1000 * args.buffer_s)
            )
            at = 0
            for name, group in sets.items():
                by_set[name][video.name] = [round(one, 5) for one in qoe[at : at + len(group)]]
                at += len(group)
        results[file.stem] = by_set
        args.out.write_text(json.dumps({"traces": names, "qoe": results}))
        print(f"{file.stem}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
