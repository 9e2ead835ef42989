"""A graph network trained by proximal policy optimisation, the kind of scheduler that Decima is.

    python -m policy.tasks.cjs.ppo --profiles jobs.parquet --out ppo --minutes 5

It begins by imitating a rule, then plays many clusters in lockstep and improves on its own returns
(Schulman et al., arXiv 1707.06347; advantages as in arXiv 1506.02438). The reward is minus the time
of jobs in the cluster. The checkpoint is the one that is best on validation sequences, of queries
that are not trained on.
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
from policy.tasks.base import Arrays
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.inputs import CLASSES, class_of, inputs_at, stacked
from policy.tasks.cjs.play import on_device, play
from policy.tasks.cjs.policies.registry import RULES, RulePolicy
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import ARRIVAL, NEVER
from policy.tasks.cjs.task import decoded
from policy.tasks.cjs.workload import Workload, workload

_REWARD_SCALE = 1e-3


@dataclass(frozen=True)
class Settings:
    """clusters play in lockstep; steps: decisions of each before an update; jobs: of an episode."""

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


class Clusters:
    """Clusters in lockstep; one that has finished begins another sequence."""

    def __init__(self, load: Workload, settings: Settings) -> None:
        self._load, self._jobs = load, settings.jobs
        self._next = settings.seed * 1_000
        self.environments = [self._fresh() for _ in range(settings.clusters)]
        self.samples = [inputs_at(environment) for environment in self.environments]
        # Do not let all end at the same time.
        random = np.random.default_rng(settings.seed)
        for environment in self.environments:
            rule = RULES["fair"]
            gap_ms = int(environment.cluster.job[: settings.jobs, ARRIVAL].max())
            ENTRIES.run(
                environment.cluster, rule.number, rule.array(), int(random.integers(gap_ms + 1))
            )
        for number, environment in enumerate(self.environments):
            if not ENTRIES.open_round(environment.cluster, NEVER):
                self.environments[number] = self._fresh()
        self.samples = [inputs_at(environment) for environment in self.environments]

    def step(self, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[Arrays, Arrays]:
        """Rewards and whether an episode ended, each [n], and the next observations."""
        numbers = np.stack([sample["stage_number"] for sample in self.samples])
        action = decoded(places, numbers)
        reward = np.zeros(len(places), np.float32)
        ended = np.zeros(len(places), np.float32)
        for number, environment in enumerate(self.environments):
            stage, executors = int(action["stage"][number]), int(action["executors"][number])
            value, done = environment.step(stage, executors)
            reward[number] = value * _REWARD_SCALE
            if done:
                ended[number] = 1
                self.environments[number] = self._fresh()
            self.samples[number] = inputs_at(self.environments[number])
        return {"reward": reward, "ended": ended}, stacked(self.samples)

    def advice(self, rule: RulePolicy) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """What a rule would do, as places in the flattened output."""
        places = np.zeros(len(self.environments), np.int64)
        for number, environment in enumerate(self.environments):
            stage, executors = ENTRIES.choose(environment.cluster, rule.number, rule.array())
            slots = np.flatnonzero(self.samples[number]["stage_number"] == stage)
            if stage >= 0 and len(slots):
                places[number] = slots[0] * len(CLASSES) + class_of(executors)
            elif not self.samples[number]["exists"][0]:
                places[number] = len(CLASSES)
        return places

    def _fresh(self) -> ClusterEnvironment:
        self._next += 1
        environment = self._load.environment(self._next, self._jobs)
        environment.reset()
        return environment


def train(profiles: Path | None, out: Path, settings: Settings, device: str) -> float:
    """Write the best checkpoint to `out`; returns its mean JCT on validation over Fair's."""
    torch.manual_seed(settings.seed)
    began = time.monotonic()
    config = ModelConfig.model_validate(
        {"task": "cjs", "kind": "direct", "control": {"hidden": 64}}
    )
    network = ActorCritic(PolicyModel(config)).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    clusters = Clusters(workload(profiles, "train"), settings)
    held = workload(profiles, "validation")
    fair_ms = [
        held.environment(number, settings.jobs).run(RULES["fair"]).mean()
        for number in range(settings.validation)
    ]
    _imitate(network, optimiser, clusters, settings, device)
    best, update, decisions = np.inf, 0, 0
    while True:
        over = time.monotonic() - began > 60 * settings.minutes
        if update % settings.validate_every == 0 or over:
            environments = [
                held.environment(number, settings.jobs) for number in range(settings.validation)
            ]
            times_ms = play(network.model, environments, device, sample_seed=1)
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
        decisions += settings.clusters * settings.steps
        update += 1


def _imitate(
    network: ActorCritic,
    optimiser: torch.optim.Optimizer,
    clusters: Clusters,
    settings: Settings,
    device: str,
) -> None:
    for _ in range(settings.imitate):
        batch = on_device(stacked(clusters.samples), device)
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
    clusters: Clusters,
    settings: Settings,
    device: str,
    only_value: bool,
) -> None:
    network.eval()
    inputs: list[dict[str, Tensor]] = []
    kept: dict[str, list[Tensor]] = {"place": [], "log_p": [], "value": [], "reward": [], "end": []}
    batch = stacked(clusters.samples)
    with torch.no_grad():
        for _ in range(settings.steps):
            inputs.append(on_device(batch, device))
            log_p, value = network(inputs[-1])
            place = torch.multinomial(log_p.exp(), 1)
            outcome, batch = clusters.step(place[:, 0].cpu().numpy())
            kept["place"].append(place[:, 0])
            kept["log_p"].append(log_p.gather(1, place)[:, 0])
            kept["value"].append(value)
            kept["reward"].append(torch.from_numpy(outcome["reward"]).to(device))
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
