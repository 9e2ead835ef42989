"""Reinforcement learning: PPO (Schulman et al., 2017) as for Pensieve, and a curriculum as Genet's.

Actor and critic read the same observation as every network here. Rewards are in units of the top
utility; advantages by GAE. With `curriculum`, half of the sessions are drawn where the student is
furthest behind a rule, BOLA (Xia et al., SIGCOMM 2022): the mean rate over the top bitrate is cut
into bins, and the gap of each is measured anew every ten iterations.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.learned import Learned, make_net, save_net
from policy.tasks.abr.network import Model
from policy.tasks.abr.tensor_observation import observe
from policy.tasks.abr.tensors import TensorSessions
from policy.tasks.abr.training.choosers import BolaChooser
from policy.tasks.abr.training.material import (
    GREATEST_RATIO,
    LEAST_RATIO,
    Material,
    mean_reward,
)
from policy.tasks.abr.training.schedule import Schedule, running_mean

BINS = 6
MEASURED_EVERY = 10
SESSIONS_PER_BIN = 64


@dataclass(frozen=True)
class PpoSettings:
    """One iteration plays `sessions` whole videos, `group` of them on the same stretch of the same
    trace: what is good or bad luck for all of them is no one's merit (the input-dependent baseline
    of Mao et al., ICLR 2019). The entropy's weight falls from `entropy` to a hundredth of it. With
    `minutes` training ends by then.
    """

    iterations: int = 150
    sessions: int = 512
    epochs: int = 4
    batch: int = 4096
    learning_rate: float = 5e-4
    discount: float = 0.99
    smoothing: float = 0.95
    clip: float = 0.2
    entropy: float = 0.05
    curriculum: bool = False
    group: int = 1
    minutes: float = 0.0
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Played:
    """Decisions of whole sessions, all of one ladder."""

    shared: Tensor
    by_level: Tensor
    taken: Tensor
    log_p: Tensor
    advantage: Tensor
    value: Tensor


def train_ppo(
    net: nn.Module,
    material: Material,
    settings: PpoSettings,
    out: Path,
    device: str = "cpu",
    notes: dict[str, str] | None = None,
) -> float:
    """Trains `net`, writes the best checkpoint to `out`; returns its score on validation."""
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    net = net.to(device)
    critic = make_net("mlp", 96, planned=False).to(device)
    parameters = [*net.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate)
    mean = running_mean(net)
    student = Learned(mean.module, device)
    schedule = Schedule(settings.iterations, settings.minutes)
    weights = np.full(BINS, 1 / BINS)
    best, began = -np.inf, time.monotonic()
    iteration = 0
    while (left := schedule.left(iteration)) > 0:
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * max(left, 0.05)
        if settings.curriculum and iteration % MEASURED_EVERY == 0:
            weights = _gaps(student, material, rng)
        batches = (
            _curriculum(material, settings.sessions // settings.group, weights, rng)
            if settings.curriculum
            else material.draw(settings.sessions // settings.group, rng)
        )
        batches = [sessions.branched(settings.group) for sessions in batches]
        played = [_play(net, critic, sessions, settings, device) for sessions in batches]
        entropy = settings.entropy * 0.01 ** (1 - left)
        for _ in range(settings.epochs):
            for one in played:
                _update(net, mean, critic, optimizer, parameters, one, settings, entropy)
        iteration += 1
        if iteration % 5 == 0 or schedule.left(iteration) <= 0:
            score = material.score(student)
            if score > best:
                best = score
                save_net(mean.module, out, {**(notes or {}), "validation": f"{score:.4f}"})
            print(
                f"{out.stem}: iteration {iteration}/{settings.iterations}: "
                f"validation {score:.4f} (best {best:.4f}), {time.monotonic() - began:.0f} s",
                flush=True,
            )
    net.load_state_dict(mean.module.state_dict())
    return float(best)


@torch.no_grad()
def _play(
    net: nn.Module, critic: nn.Module, sessions: TensorSessions, settings: PpoSettings, device: str
) -> Played:
    shared, by_level, taken, log_p, values, rewards = [], [], [], [], [], []
    while not sessions.done:
        own, levels = observe(sessions, device)
        log_ps = net(own, levels).log_softmax(dim=1)
        action = torch.multinomial(log_ps.exp(), 1)
        values.append(critic(own, levels).mean(dim=1))
        rewards.append((sessions.step(action[:, 0]) / sessions.qoe.stall_per_s).float())
        shared.append(own)
        by_level.append(levels)
        taken.append(action[:, 0])
        log_p.append(log_ps.gather(1, action)[:, 0])
    value, reward = torch.stack(values), torch.stack(rewards)
    advantage = torch.zeros_like(value)
    following = torch.zeros_like(value[0])
    after = torch.zeros_like(value[0])
    for at in range(len(reward) - 1, -1, -1):
        error = reward[at] + settings.discount * after - value[at]
        following = error + settings.discount * settings.smoothing * following
        advantage[at], after = following, value[at]
    wanted = advantage + value
    if settings.group > 1:
        alike = advantage.reshape(len(reward), -1, settings.group)
        advantage = (alike - alike.mean(dim=2, keepdim=True)).reshape_as(advantage)
    return Played(
        torch.cat(shared),
        torch.cat(by_level),
        torch.cat(taken),
        torch.cat(log_p),
        advantage.flatten(),
        wanted.flatten(),
    )


def _update(
    net: nn.Module,
    mean: AveragedModel,
    critic: nn.Module,
    optimizer: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    played: Played,
    settings: PpoSettings,
    entropy: float,
) -> None:
    """One epoch over the decisions."""
    scaled = (played.advantage - played.advantage.mean()) / (played.advantage.std() + 1e-6)
    for rows in torch.randperm(len(scaled), device=scaled.device).split(settings.batch):
        shared, by_level = played.shared[rows], played.by_level[rows]
        log_ps = net(shared, by_level).log_softmax(dim=1)
        ratio = (log_ps.gather(1, played.taken[rows, None])[:, 0] - played.log_p[rows]).exp()
        clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
        gain = torch.minimum(ratio * scaled[rows], clipped * scaled[rows]).mean()
        spread = -(log_ps.exp() * log_ps).sum(dim=1).mean()
        value = critic(shared, by_level).mean(dim=1)
        error = nn.functional.smooth_l1_loss(value, played.value[rows])
        optimizer.zero_grad()
        (0.5 * error - gain - entropy * spread).backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        mean.update_parameters(net)


def _gaps(student: Learned, material: Material, rng: np.random.Generator) -> Floats:
    """How likely each bin is drawn [BINS]: in proportion to how far the student is behind."""
    rule = BolaChooser()
    gaps = np.empty(BINS)
    for at in range(BINS):
        ratio = np.exp(rng.uniform(*_edges(at), SESSIONS_PER_BIN))
        sessions = material.draw_of(material.videos[0], ratio, Model.PENSIEVE, rng)
        copies = sessions.branched(1)
        behind = mean_reward(sessions, rule) - mean_reward(copies, student)
        gaps[at] = behind / sessions.qoe.stall_per_s
    hard = np.maximum(gaps, 0.0)
    share: Floats = hard / hard.sum() if hard.sum() > 0 else np.full(BINS, 1 / BINS)
    return 0.7 * share + 0.3 / BINS


def _edges(at: int) -> tuple[float, float]:
    edges = np.linspace(np.log(LEAST_RATIO), np.log(GREATEST_RATIO), BINS + 1)
    return float(edges[at]), float(edges[at + 1])


def _curriculum(
    material: Material, n: int, weights: Floats, rng: np.random.Generator
) -> list[TensorSessions]:
    """Half of the sessions as they are, half in bins that are drawn with `weights`."""
    bins = rng.choice(BINS, n, p=weights)
    low = np.array([_edges(at) for at in range(BINS)])[bins]
    ratio = np.exp(rng.uniform(low[:, 0], low[:, 1]))
    ratio[rng.random(n) < 0.5] = np.nan
    return [material.draw_of(material.videos[0], ratio, Model.PENSIEVE, rng)]
