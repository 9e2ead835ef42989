"""Training in rounds: visit states, value every level by roll-outs, learn, visit again.

Each round plays new sessions under the student (in the first round under rules, unless the student
begins better than they are; and always partly), and labels every state with the value of every
level when the best policy so far goes on. The checkpoint is the one that is best on validation.

The network that visits states and is kept is a running mean of the one that learns.

What is learned from a labelled state is the `objective`:

- `regret`: the regret expected under the softmax of the scores, less a little of its entropy;
- `argmax`: the level of the greatest value, by cross-entropy (imitation of hindsight, as Comyco);
- `return`: the level that was taken, given the return that followed (a decision transformer
  without the sequence; the history is in the observation). Only behaviours are visited, no student.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from policy.errors import PolicyError
from policy.tasks.abr.labelled import WORST_REGRET
from policy.tasks.abr.learned import Learned, save_net
from policy.tasks.abr.tensor_observation import observe
from policy.tasks.abr.tensors import TensorSessions
from policy.tasks.abr.training.choosers import Chooser, rules
from policy.tasks.abr.training.material import Material
from policy.tasks.abr.training.schedule import Schedule, running_mean

OBJECTIVES = ("regret", "argmax", "return")
# Returns asked for at run time, in units of the top utility per chunk; validation chooses.
TARGETS = (0.3, 0.45, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Settings:
    """`sessions` per round, of whose states a share `valued` is labelled; labels of `keep` rounds
    are trained on; `horizon` chunks are rolled out. With `teacher_values` a given teacher values
    the levels in every round, even after the student is better: where its own roll-outs cost too
    much. With `minutes` training ends by then.
    """

    objective: str = "regret"
    rounds: int = 10
    sessions: int = 1024
    keep: int = 4
    steps: int = 600
    batch: int = 4096
    horizon: int = 24
    learning_rate: float = 1e-3
    entropy: float = 0.02
    explore: float = 0.05
    valued: float = 1.0
    teacher_values: bool = False
    minutes: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise PolicyError(f"objective {self.objective!r}: there are {', '.join(OBJECTIVES)}")
        if not 0 < self.valued <= 1:
            raise PolicyError(f"valued {self.valued:g} must lie above 0 and up to 1")


@dataclass(frozen=True, eq=False)
class Batch:
    """Labelled states of one video: observations, Q [n, levels], what was taken [n], and the mean
    reward of the chunks from there on [n], over the top utility.
    """

    shared: Tensor
    by_level: Tensor
    values: Tensor
    taken: Tensor
    returns: Tensor


def level_values(sessions: TensorSessions, chooser: Chooser, horizon: int) -> Tensor:
    """Q [n, levels]: reward of the next chunk at each level plus that of up to `horizon` - 1
    chunks under `chooser`, in units of a second of stall. `sessions` are left as they are.
    """
    n, levels = len(sessions), sessions.video.levels
    copies = sessions.branched(levels)
    total: Tensor = copies.step(torch.arange(levels, device=copies.traces.device).repeat(n))
    for _ in range(min(horizon - 1, copies.chunks_left)):
        total = total + copies.step(chooser.choose(copies))
    values = total.reshape(n, levels) / float(sessions.qoe.stall_per_s)
    return values.float()


@torch.no_grad()
def collect(
    sessions: TensorSessions,
    behaviours: Sequence[Chooser],
    valued_by: Chooser | None,
    settings: Settings,
) -> Batch:
    """Plays the sessions, each under one of the behaviours, and labels a share of the states on
    the way, all of them at once: each goes on from its own chunk.

    Without a policy to value them, the values are zeros. A behaviour may be given more than once
    and plays as many more sessions.
    """
    n, levels, device = len(sessions), sessions.video.levels, sessions.traces.device
    different = {id(one): one for one in behaviours}
    mine = torch.randint(len(behaviours), (n,), device=device)
    visited, actions, rewards = [], [], []
    while not sessions.done:
        visited.append(sessions.branched(1))
        taken = torch.randint(levels, (n,), device=device)
        free = torch.rand(n, device=device) < settings.explore
        chosen = {key: one.choose(sessions) for key, one in different.items()}
        for index, behaviour in enumerate(behaviours):
            taken = torch.where((mine == index) & ~free, chosen[id(behaviour)], taken)
        actions.append(taken)
        rewards.append(sessions.step(taken) / sessions.qoe.stall_per_s)
    ahead = torch.stack(rewards).flip(0).cumsum(0).flip(0)
    left = torch.arange(len(rewards), 0, -1, device=device)
    returns, taken = (ahead / left[:, None]).flatten().float(), torch.cat(actions)
    states = visited[0].joined(visited[1:])
    if settings.valued < 1:
        kept = torch.randperm(len(states), device=device)[: int(len(states) * settings.valued) or 1]
        states, returns, taken = states.take(kept), returns[kept], taken[kept]
    if valued_by is None:
        values = torch.zeros((len(states), levels), device=device)
    else:
        values = level_values(states, valued_by, settings.horizon)
    shared, by_level = observe(states, device)
    return Batch(shared, by_level, values, taken, returns)


def loss_of(net: nn.Module, batch: Batch, rows: Tensor, settings: Settings) -> Tensor:
    """The loss of these rows [] of a batch."""
    shared, by_level = batch.shared[rows], batch.by_level[rows]
    if settings.objective == "return":
        shared = torch.cat([shared, batch.returns[rows, None].clamp(-2, 1)], dim=1)
        return nn.functional.cross_entropy(net(shared, by_level), batch.taken[rows])
    values = batch.values[rows]
    log_p = net(shared, by_level).log_softmax(dim=1)
    if settings.objective == "argmax":
        return nn.functional.nll_loss(log_p, values.argmax(dim=1))
    regret = (values.amax(dim=1, keepdim=True) - values).clamp(max=WORST_REGRET)
    p = log_p.exp()
    entropy = -(p * log_p).sum(dim=1)
    expected: Tensor = ((p * regret).sum(dim=1) - settings.entropy * entropy).mean()
    return expected


def fit(
    net: nn.Module,
    mean: AveragedModel,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    settings: Settings,
) -> float:
    """Trains on the labels; returns the mean loss of the last tenth of the steps. `mean` follows
    the network.
    """
    device = batches[0].shared.device
    sizes = np.array([len(batch.shared) for batch in batches], float)
    rng = np.random.default_rng(settings.seed)
    parameters = [one for one in net.parameters() if one.requires_grad]
    recent: list[Tensor] = []
    for step in range(settings.steps):
        batch = batches[rng.choice(len(batches), p=sizes / sizes.sum())]
        rows = torch.randint(len(batch.shared), (settings.batch,), device=device)
        loss = loss_of(net, batch, rows, settings)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        mean.update_parameters(net)
        if step >= settings.steps * 9 // 10:
            recent.append(loss.detach())
    return float(torch.stack(recent).mean())


def train(
    net: nn.Module,
    material: Material,
    settings: Settings,
    out: Path,
    device: str = "cpu",
    teacher: Chooser | None = None,
    notes: dict[str, str] | None = None,
    labelled: Sequence[Batch] | None = None,
) -> float:
    """Trains `net`, writes the best checkpoint to `out`; returns its score on validation. In the
    end `net` holds the running mean.

    `teacher` values the levels until the student is better; without one a rule does. With
    `labelled` states, every round learns from these alone and plays no session but to validate.
    `notes` go into the checkpoint's header.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    net = net.to(device)
    parameters = [one for one in net.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=1e-4)
    schedule = Schedule(settings.rounds, settings.minutes)
    offline = settings.objective == "return"
    mean = running_mean(net)
    student = Learned(mean.module, device)
    pool = rules() if teacher is None else [teacher, *rules()]
    valued_by: Chooser = pool[0]
    to_beat = material.score(valued_by)
    batches: list[list[Batch]] = []
    best = -np.inf
    if not offline:
        best = material.score(student)
        save_net(mean.module, out, {**(notes or {}), "validation": f"{best:.4f}"})
    able = best > to_beat
    if able and not settings.teacher_values:
        valued_by = student
    round_ = 0
    while (left := schedule.left(round_)) > 0:
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (0.05 + 0.95 * (1 - np.cos(np.pi * left)) / 2)
        if labelled is not None:
            batches = [list(labelled)]
        else:
            behaviours: list[Chooser] = pool
            if (round_ > 0 or able) and not offline:
                behaviours = [student, student, student, pool[round_ % len(pool)]]
            batches.append(
                [
                    collect(sessions, behaviours, None if offline else valued_by, settings)
                    for sessions in material.draw(settings.sessions, rng)
                ]
            )
            batches = batches[-settings.keep :]
        collected = time.monotonic()
        net.train()
        labels = [batch for group in batches for batch in group]
        loss = fit(net, mean, optimizer, labels, settings)
        mean.eval()
        asked: dict[str, str] = {}
        if offline:
            scores = [material.score(Learned(mean.module, device, target)) for target in TARGETS]
            score = max(scores)
            asked["target"] = str(TARGETS[scores.index(score)])
        else:
            score = material.score(student)
        if score > best:
            best = score
            save_net(mean.module, out, {**(notes or {}), **asked, "validation": f"{score:.4f}"})
        # From the first student on that is better, students value the levels.
        if score > to_beat and not settings.teacher_values:
            valued_by = student
        round_ += 1
        print(
            f"{out.stem}: round {round_}/{settings.rounds}: loss {loss:.4f}, "
            f"validation {score:.4f} (best {best:.4f}, to beat {to_beat:.4f}), "
            f"{collected - began:.1f} s labels, {time.monotonic() - collected:.1f} s training",
            flush=True,
        )
    net.load_state_dict(mean.module.state_dict())
    net.eval()
    return float(best)
