"""Trains a network in rounds: visit states with the student, value every level by roll-outs,
lessen regret.

    python -m policy.tasks.abr.training --traces DIR --video FILE --out abr.safetensors

Each round plays new sessions under the student (in the first rounds also under rules), labels
every state with the value of every level when the best policy so far goes on (`labels.py`), and
trains on the labels of
the last rounds. The loss is the regret expected under the softmax of the scores, less a little of
its entropy. The
checkpoint is the one that is best on sessions of recordings kept out of training. Test recordings
are never to
be given here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, Traces, find_bandwidths, pack
from policy.tasks.abr.labels import level_values
from policy.tasks.abr.learned import Learned, load_net, save_net
from policy.tasks.abr.model import LevelScorer
from policy.tasks.abr.network import Model
from policy.tasks.abr.observation import observe
from policy.tasks.abr.play import play
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.rules import Abr, make_rule
from policy.tasks.abr.session import Sessions, start
from policy.tasks.abr.video import Video, read_video

TEACHER = "robust-mpc:prior_error=.3,factor=.9"
BEHAVIOURS = (TEACHER, "robust-mpc", "bba", "mpc:factor=.7")
VALIDATION_SHARE = 5


@dataclass(frozen=True)
class Settings:
    """`sessions` per round and video; `keep` rounds of labels are trained on; `horizon` chunks are
    rolled out.
    """

    kind: str = "mlp"
    width: int = 128
    rounds: int = 10
    sessions: int = 1024
    keep: int = 4
    steps: int = 600
    batch: int = 4096
    horizon: int = 24
    learning_rate: float = 1e-3
    entropy: float = 0.02
    explore: float = 0.05
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Batch:
    """Labelled states of one video: observations and Q [n, levels]."""

    shared: Tensor
    by_level: Tensor
    values: Tensor


def split(bandwidths: Sequence[Bandwidth]) -> tuple[list[Bandwidth], list[Bandwidth]]:
    """Training and validation, by recording: every fifth recording validates."""
    recordings = sorted({one.recording for one in bandwidths})
    held = set(recordings[VALIDATION_SHARE - 1 :: VALIDATION_SHARE])
    kept = [one for one in bandwidths if one.recording not in held]
    return kept, [one for one in bandwidths if one.recording in held]


def draw(video: Video, traces: Traces, n: int, rng: np.random.Generator, wide: bool) -> Sessions:
    """Sessions with random traces, starts, scales and round trips; half of them close to the plain
    ones.
    """
    lengths = np.diff(traces.offsets)
    # Longer traces hold more states: drawn in proportion to their duration.
    last = traces.times_s[traces.offsets[1:] - 1]
    chosen = rng.choice(len(traces), n, p=last / last.sum())
    sample = rng.integers(1, lengths[chosen])
    far = rng.random(n) < (0.5 if wide else 0.0)
    scale = np.where(
        far, np.exp(rng.uniform(np.log(0.4), np.log(2.5), n)), rng.uniform(0.9, 1.1, n)
    )
    rtt = np.where(far, rng.uniform(20, 160, n), 80.0)
    levels = rng.integers(0, 2, n)
    return start(
        video,
        traces,
        trace=chosen,
        start_sample=sample,
        scale=scale,
        rtt_ms=rtt,
        start_level=levels,
    )


def collect(
    sessions: Sessions,
    behaviours: Sequence[Abr],
    teacher: Abr,
    settings: Settings,
    rng: np.random.Generator,
    device: str,
) -> Batch:
    """Plays the sessions, each under one of the behaviours, and labels every state on the way."""
    mine = rng.integers(0, len(behaviours), len(sessions))
    shared, by_level, values = [], [], []
    while not sessions.done:
        own, levels = observe(sessions, device)
        q = level_values(sessions, teacher, settings.horizon)
        shared.append(own)
        by_level.append(levels)
        values.append(torch.as_tensor(q, dtype=torch.float32, device=device))
        taken = np.zeros(len(sessions), np.int64)
        for index, behaviour in enumerate(behaviours):
            rows = np.flatnonzero(mine == index)
            if len(rows):
                taken[rows] = behaviour.decide(sessions.take(rows))
        random = rng.random(len(sessions)) < settings.explore
        taken = np.where(random, rng.integers(0, sessions.video.levels, len(sessions)), taken)
        sessions.step(taken)
    return Batch(torch.cat(shared), torch.cat(by_level), torch.cat(values))


def fit(
    net: LevelScorer, optimizer: torch.optim.Optimizer, batches: Sequence[Batch], settings: Settings
) -> float:
    """Trains on the labels, and returns the mean regret per decision of the last tenth of the
    steps.
    """
    device = batches[0].shared.device
    sizes = np.array([len(batch.shared) for batch in batches], float)
    rng = np.random.default_rng(settings.seed)
    recent: list[Tensor] = []
    for step in range(settings.steps):
        batch = batches[rng.choice(len(batches), p=sizes / sizes.sum())]
        rows = torch.randint(len(batch.shared), (settings.batch,), device=device)
        log_p = net(batch.shared[rows], batch.by_level[rows]).log_softmax(dim=1)
        values = batch.values[rows]
        regret = values.amax(dim=1, keepdim=True) - values
        p = log_p.exp()
        expected = (p * regret.clamp(max=10)).sum(dim=1).mean()
        loss = expected + settings.entropy * (p * log_p).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step >= settings.steps * 9 // 10:
            recent.append(expected.detach())
    return float(torch.stack(recent).mean())


def train(
    videos: Sequence[Video],
    bandwidths: Sequence[Bandwidth],
    settings: Settings,
    out: Path,
    device: str,
    wide: bool = True,
    begin_with: Path | None = None,
) -> float:
    """Writes the best checkpoint to `out`; returns its QoE on validation over the top utility."""
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    kept, held = split(bandwidths)
    if not kept or not held:
        raise PolicyError(
            f"{len(bandwidths)} traces are too few to keep a fifth out; give at least 5"
        )
    train_traces, held_traces = pack(kept), pack(held)
    if begin_with is not None:
        net = load_net(begin_with).to(device)
    else:
        net = LevelScorer("gru" if settings.kind == "gru" else "mlp", settings.width).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, settings.rounds, settings.learning_rate / 20
    )
    student = Learned(net, device)
    rules = [make_rule(text) for text in BEHAVIOURS]
    teacher: Abr = student if begin_with is not None else rules[0]
    batches: list[Batch] = []
    best = -np.inf
    for round_ in range(settings.rounds):
        began = time.monotonic()
        behaviours = (
            rules if round_ == 0 else [student, student, student, rules[round_ % len(rules)]]
        )
        net.eval()
        for video in videos:
            # Rules roll out slowly, and soon are no longer the best.
            n = settings.sessions // (8 if teacher is rules[0] else 1)
            sessions = draw(video, train_traces, n, rng, wide)
            batches.append(collect(sessions, behaviours, teacher, settings, rng, device))
        batches = batches[-settings.keep * len(videos) :]
        collected = time.monotonic()
        net.train()
        regret = fit(net, optimizer, batches, settings)
        schedule.step()
        net.eval()
        score = validate(videos, held_traces, student)
        rule = validate(videos, held_traces, rules[0])
        if score > best:
            best = score
            save_net(net, out)
        # From the first student on that is better than the rule, students value the levels.
        if score > rule:
            teacher = student
        print(
            f"round {round_}: regret {regret:.4f}, validation {score:.4f} (rule {rule:.4f}), "
            f"{collected - began:.0f} s labels, {time.monotonic() - collected:.0f} s training",
            flush=True,
        )
    return best


def validate(videos: Sequence[Video], traces: Traces, policy: Abr, per_trace: int = 4) -> float:
    """Mean QoE over the top utility, with starts spread evenly over each trace."""
    lengths = np.diff(traces.offsets)
    trace = np.repeat(np.arange(len(traces)), per_trace)
    shares = np.tile(np.arange(per_trace) / per_trace, len(traces))
    samples = 1 + (shares * (lengths[trace] - 1)).astype(np.int64)
    scores = []
    for video in videos:
        sessions = start(video, traces, trace=trace, start_sample=samples, model=Model.PENSIEVE)
        scores.append(play(policy, sessions).qoe.mean() / qoe_of(video).stall_per_s)
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a policy for adaptive bitrate streaming.")
    parser.add_argument(
        "--traces", action="append", required=True, help="folder or glob; repeatable"
    )
    parser.add_argument("--video", action="append", required=True, help="manifest; repeatable")
    parser.add_argument(
        "--chunks", type=int, default=48, help="chunks of each video that are played"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--begin-with", type=Path, help="checkpoint to go on from")
    parser.add_argument(
        "--narrow", action="store_true", help="no scaled traces, no other round trips"
    )
    for name, value in vars(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    args = parser.parse_args()
    settings = Settings(**{name: getattr(args, name) for name in vars(Settings())})
    videos = [read_video(path).clipped(args.chunks) for path in args.video]
    bandwidths = find_bandwidths(*args.traces)
    wide = not args.narrow
    best = train(videos, bandwidths, settings, args.out, args.device, wide, args.begin_with)
    print(f"{args.out}: validation {best:.4f}")


if __name__ == "__main__":
    main()
