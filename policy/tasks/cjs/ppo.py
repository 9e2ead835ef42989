"""A graph network trained by proximal policy optimisation, the kind of scheduler that Decima is.

    python -m policy.tasks.cjs.ppo --profiles jobs.parquet --out ppo --minutes 5
    python -m policy.tasks.cjs.ppo --actions proposed --start trained/checkpoint --out finer

It begins by imitating a rule, or with a checkpoint, then plays many clusters in lockstep and
improves on its own returns (Schulman et al., arXiv 1707.06347; advantages as in arXiv 1506.02438).
The reward is minus the time of jobs in the cluster. The checkpoint is the one that is best on
validation sequences, of queries that are not trained on.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.model import checkpoint
from policy.model.config import ModelConfig
from policy.model.model import PolicyModel
from policy.tasks.cjs.clusters import ClusterProcesses, Clusters, Lockstep
from policy.tasks.cjs.play import play
from policy.tasks.cjs.policies.registry import RULES
from policy.tasks.cjs.tensors import on_device, player
from policy.tasks.cjs.workload import workload

_REWARD_SCALE = 1e-3


@dataclass(frozen=True)
class Settings:
    """clusters play in lockstep in so many processes; steps: decisions of each before an update;
    jobs: of an episode. actions: as `EncoderConfig` has them. start: a checkpoint without a
    language model to begin with; without it a rule is imitated first.
    """

    minutes: float = 5.0
    clusters: int = 64
    steps: int = 64
    jobs: int = 60
    imitate: int = 150
    epochs: int = 3
    minibatch: int = 1024
    learning_rate: float = 3e-4
    clip: float = 0.2
    discount: float = 0.995
    trace: float = 0.95
    entropy: float = 0.003
    only_value: int = 4
    validate_every: int = 10
    validation: int = 8
    seed: int = 1
    processes: int = 1
    actions: str = "any"
    start: str = ""


class ActorCritic(nn.Module):
    """The scheduler, and the value of a state from its cluster token."""

    def __init__(self, model: PolicyModel) -> None:
        super().__init__()
        self.model = model
        hidden = model.backbone.hidden
        self.value = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Log probabilities [n, actions] and values [n]."""
        tokens = self.model.encoder(inputs)
        vectors = self.model.backbone(tokens, self.model.positions)
        log_p = self.model.head(vectors, inputs).flatten(1)
        return log_p, self.value(tokens[:, 1]).squeeze(-1)


def train(profiles: Path | None, out: Path, settings: Settings, device: str) -> float:
    """Write the best checkpoint to `out`; returns its mean JCT on validation over Fair's."""
    torch.manual_seed(settings.seed)
    loads = [workload(profiles, "train")]
    alone = settings.actions == "proposed"
    count = settings.clusters // settings.processes
    how = [
        Lockstep(loads, count, settings.jobs, settings.seed + 10 * number, alone)
        for number in range(settings.processes)
    ]
    if settings.processes == 1:
        return _train(profiles, out, settings, device, Clusters(how[0]))
    with ClusterProcesses(how) as clusters:
        return _train(profiles, out, settings, device, clusters)


def _train(
    profiles: Path | None,
    out: Path,
    settings: Settings,
    device: str,
    clusters: Clusters | ClusterProcesses,
) -> float:
    began = time.monotonic()
    network = ActorCritic(_begin(settings)).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    held = workload(profiles, "validation")
    fair_ms = [
        held.environment(number, settings.jobs).run(RULES["fair"]).mean()
        for number in range(settings.validation)
    ]
    if not settings.start:
        _imitate(network, optimiser, clusters, settings, device)
    best, update, decisions = np.inf, 0, 0
    while True:
        over = time.monotonic() - began > 60 * settings.minutes
        if update % settings.validate_every == 0 or over:
            environments = [
                held.environment(number, settings.jobs) for number in range(settings.validation)
            ]
            # Proposals are few and close to each other: the likeliest is taken.
            drawn = None if settings.actions == "proposed" else 1
            times_ms = play(player(network.model, device, drawn), environments)
            score = float(np.mean([t.mean() / f for t, f in zip(times_ms, fair_ms, strict=True)]))
            spent_s = time.monotonic() - began
            print(
                f"update {update}: {decisions} decisions, {spent_s:.0f} s, / fair {score:.3f}",
                flush=True,
            )
            if score < best:
                best = score
                checkpoint.save(
                    out,
                    network.model,
                    card="Cluster scheduling by a graph network, trained by PPO.\n",
                    training={"settings": vars(settings), "decisions": decisions, "/ fair": score},
                )
        if over:
            return best
        _update(network, optimiser, clusters, settings, device, update < settings.only_value)
        decisions += len(clusters.observe()["exists"]) * settings.steps
        update += 1


def _begin(settings: Settings) -> PolicyModel:
    if settings.start:
        return checkpoint.load(Path(settings.start))[0]
    shape = {"control": {"hidden": 64}, "encoder": {"actions": settings.actions}}
    return PolicyModel(ModelConfig.model_validate({"task": "cjs", "kind": "direct"} | shape))


def _imitate(
    network: ActorCritic,
    optimiser: torch.optim.Optimizer,
    clusters: Clusters | ClusterProcesses,
    settings: Settings,
    device: str,
) -> None:
    for _ in range(settings.imitate):
        batch = on_device(clusters.observe(), device)
        wanted = clusters.advice(RULES["weighted-fair"])
        log_p, _ = network(batch)
        chosen = log_p.gather(1, torch.from_numpy(wanted).to(device)[:, None])
        loss = -chosen.clamp(min=-30).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimiser.step()
        clusters.step(wanted)


def _update(
    network: ActorCritic,
    optimiser: torch.optim.Optimizer,
    clusters: Clusters | ClusterProcesses,
    settings: Settings,
    device: str,
    only_value: bool,
) -> None:
    network.eval()
    inputs: list[dict[str, Tensor]] = []
    kept: dict[str, list[Tensor]] = {"place": [], "log_p": [], "value": [], "reward": [], "end": []}
    batch = clusters.observe()
    with torch.no_grad():
        for _ in range(settings.steps):
            inputs.append(on_device(batch, device))
            log_p, value = network(inputs[-1])
            place = torch.multinomial(log_p.exp(), 1)
            outcome, batch = clusters.step(place[:, 0].cpu().numpy())
            kept["place"].append(place[:, 0])
            kept["log_p"].append(log_p.gather(1, place)[:, 0])
            kept["value"].append(value)
            kept["reward"].append(_REWARD_SCALE * torch.from_numpy(outcome["reward"]).to(device))
            kept["end"].append(torch.from_numpy(outcome["ended"]).to(device))
        _, last = network(on_device(batch, device))
    rewards, values = torch.stack(kept["reward"]), torch.stack(kept["value"])
    advantages = advantage(rewards, values, torch.stack(kept["end"]), last, settings)
    returns = (advantages + values).flatten()
    scaled = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    flat = {name: torch.cat([one[name] for one in inputs]) for name in inputs[0]}
    places, old = torch.cat(kept["place"]), torch.cat(kept["log_p"])
    network.train()
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(places), device=device).split(settings.minibatch):
            log_p, value = network({name: array[rows] for name, array in flat.items()})
            ratio = (log_p.gather(1, places[rows, None])[:, 0] - old[rows]).exp()
            gain = scaled.flatten()[rows]
            clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
            policy_loss = -torch.minimum(ratio * gain, clipped * gain).mean()
            spread = -(log_p.exp() * log_p.clamp(min=-30)).sum(dim=1).mean()
            loss = functional.mse_loss(value, returns[rows])
            if not only_value:
                loss = 0.5 * loss + policy_loss - settings.entropy * spread
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            optimiser.step()


def advantage(
    rewards: Tensor, values: Tensor, ended: Tensor, last: Tensor, settings: Settings
) -> Tensor:
    """Generalised advantages [steps, n] of rewards, values and ends [steps, n], and the value [n]
    after them; an end cuts the sum.
    """
    result = torch.zeros_like(rewards)
    following, ahead = last, torch.zeros_like(last)
    for step in reversed(range(len(rewards))):
        goes_on = 1 - ended[step]
        error = rewards[step] + settings.discount * following * goes_on - values[step]
        ahead = error + settings.discount * settings.trace * goes_on * ahead
        result[step] = ahead
        following = values[step]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a graph network to schedule by PPO.")
    parser.add_argument("--profiles", type=Path, help="job profiles; generated jobs if left out")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, value in vars(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    args = parser.parse_args()
    settings = Settings(**{name: getattr(args, name) for name in vars(Settings())})
    best = train(args.profiles, args.out, settings, args.device)
    print(f"{args.out}: mean JCT on validation / fair {best:.3f}")


if __name__ == "__main__":
    main()
