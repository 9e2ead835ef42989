"""Row I: the small joint transformer first learns to say the next state (as Unum, NSDI 2026).

Of congestion control the next window, of streaming what all levels share at the next chunk, of
scheduling the jobs and the cluster at the next decision; each standardised, so that the mean has
a loss of 1. Encoders and backbone are what the training on answers begins with.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping

import torch
from torch import Tensor, nn

from experiments.generalist.resident import CHUNKS_A_SESSION, Resident, Side
from policy.model.joint import JointModel
from policy.training.batches import Batches
from policy.training.loop import learning_rate
from policy.training.mixture.config import MixtureConfig


def pairs(task: str, side: Side, batch: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Rows that have a next state [m], and that state [m, d], standardised."""
    inputs = side.inputs
    if task == "congestion":
        state = inputs["windows"][:, -1].float().nan_to_num(posinf=0.0, neginf=0.0)
        state = state.sign() * state.abs().log1p()
    elif task == "abr":
        state = inputs["shared"].float()
    else:
        state = torch.cat([inputs["jobs"].float().flatten(1), inputs["cluster"].float()], dim=1)
    units = torch.from_numpy(side.units).to(state.device)
    # The next sample of the same flow, session or sequence, in the order of the dataset.
    order = torch.argsort(units, stable=True)
    same = units[order][1:] == units[order][:-1]
    now, after = order[:-1][same], order[1:][same]
    spread = state.std(dim=0)
    wanted = (state[after] - state.mean(dim=0)) / spread.clamp(min=1e-3)
    return now, wanted.clamp(-10.0, 10.0)


def pretrain(
    model: JointModel, config: MixtureConfig, seed: int, data: Mapping[str, Resident]
) -> Generator[None, None, list[dict[str, float]]]:
    """Train encoders and backbone, pausing after each step; returns the course of the losses."""
    device = next(model.parameters()).device
    known = {name: pairs(name, one.sides["train"]) for name, one in data.items()}
    ends = nn.ModuleDict(
        {
            name: nn.Linear(model.backbone.hidden, wanted.shape[1])
            for name, (_, wanted) in known.items()
        }
    ).to(device)
    learned = [*model.encoders.parameters(), *model.backbone.parameters(), *ends.parameters()]
    learned = [one for one in learned if one.requires_grad]
    optimiser = torch.optim.AdamW(
        learned, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    batches = {
        name: Batches(min(config.batch_size, len(now)), len(now), [seed, 1, *name.encode()])
        for name, (now, _) in known.items()
    }
    curve = []
    model.train()
    for step in range(1, config.max_steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        optimiser.zero_grad(set_to_none=True)
        losses = {}
        for name, (now, wanted) in known.items():
            chosen = torch.from_numpy(batches[name].at(step)).to(device)
            inputs, _ = data[name].sides["train"].at(now[chosen])
            vectors = model.backbone(model.models[name].encoder(inputs).to(model.backbone.dtype))
            losses[name] = (ends[name](vectors[:, -1].float()) - wanted[chosen]).square().mean()
        torch.stack(list(losses.values())).mean().backward()
        torch.nn.utils.clip_grad_norm_(learned, config.clip)
        optimiser.step()
        if step % config.evaluate_every == 0 or step == config.max_steps:
            curve.append({"step": step} | {name: float(one) for name, one in losses.items()})
        yield
    model.zero_grad(set_to_none=True)
    return curve


__all__ = ["CHUNKS_A_SESSION", "pairs", "pretrain"]
