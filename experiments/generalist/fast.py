"""The mixture's training for many short runs: samples on the device, one pass of the backbone for
all tasks, and on CUDA the whole gradient as one graph.

The objective, the schedule, the optimiser and the settings are those of
`policy.training.mixture`. One pass serves the sequences of all tasks: a language model has them in
one row, a small transformer padded at their end, which causal models do not see. A step costs one
launch then; without a graph an LLM of eight blocks is bound by launches, at a tenth of the speed.
Trainings are generators that pause after each step, so that one process does several side by side,
each on a stream of its own.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiments.generalist.lean import Lean, make_lean
from experiments.generalist.resident import Resident, loss_on
from policy.model.backbone import LlmBackbone
from policy.model.joint import JointModel
from policy.training.batches import Batches
from policy.training.loop import learning_rate
from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.data import batch_sizes

State = Mapping[str, Tensor]
LEAN: WeakKeyDictionary[nn.Module, Lean] = WeakKeyDictionary()
"""Of each language model that `build` made, its pass of several sequences in one row."""


@dataclass
class Trained:
    """A model with the weights that were best on validation, and its course."""

    model: JointModel
    best_step: int = 0
    best_loss: float = float("inf")
    steps: int = 0
    wall_s: float = 0.0
    captured: bool = False
    not_captured: str = ""
    curve: list[dict[str, float]] = field(default_factory=list)
    gradients: Gradients | None = None


def state_of(model: JointModel) -> dict[str, Tensor]:
    """A copy of what learns, by name."""
    return {name: value.detach().clone() for name, value in model.trained_parameters().items()}


def build(
    config: MixtureConfig, seed: int, device: torch.device, start: State | None = None
) -> JointModel:
    """The model at the beginning of a training. `start`: weights that it takes over."""
    torch.manual_seed(seed)
    small = device.type == "cuda" and config.model.backbone.frozen
    model = JointModel(config.model, torch.bfloat16 if small else torch.float32).to(device)
    if start is not None:
        with torch.no_grad():
            for name, value in model.trained_parameters().items():
                if name in start:
                    value.copy_(start[name])
    if isinstance(model.backbone, LlmBackbone):
        LEAN[model.backbone] = make_lean(model.backbone)
    return model


class Gradients:
    """Adds up the gradients of one step, eagerly or from a graph."""

    def __init__(
        self,
        model: JointModel,
        config: MixtureConfig,
        data: Mapping[str, Resident],
        sizes: Mapping[str, int],
        shares: Mapping[str, float],
    ) -> None:
        self.device = next(model.parameters()).device
        self._model, self._config, self._data, self._shares = model, config, data, shares
        self.rows = {
            name: torch.zeros(size, dtype=torch.long, device=self.device)
            for name, size in sizes.items()
        }
        self.learned = [value for value in model.parameters() if value.requires_grad]
        for value in self.learned:
            value.grad = torch.zeros_like(value)
        self._grads = [value.grad for value in self.learned if value.grad is not None]
        self.total = torch.zeros((), device=self.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self.failed = ""
        own = config.model.kind == "nioka" and config.model.backbone.lora.rank_per_task > 0
        # A processor gains nothing by one pass, and loses by padding.
        self._apart = own or (self.device.type == "cpu" and self._model.backbone not in LEAN)

    @property
    def captured(self) -> bool:
        """Whether a step is one launch."""
        return self._graph is not None

    def run(self) -> None:
        """For the samples of `rows`; the loss is added to `total`."""
        if self._graph is None:
            self._eager()
        else:
            self._graph.replay()

    def capture(self) -> bool:
        """Record the step; False, and eager from then on, where that fails or differs."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self._eager()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._eager()
            graph.replay()
            norm = self._norm()
            self._eager()
            again = self._norm()
            # Small transformers have dropout, which differs between the two.
            if not 0.3 < (norm + 1e-9) / (again + 1e-9) < 3.0:
                self.failed = f"norms of gradients {norm:g} and {again:g}"
                return False
            self._graph = graph
        except RuntimeError as error:
            self.failed = str(error)[:300]
            return False
        finally:
            self.total.zero_()
        return True

    def _norm(self) -> float:
        return float(torch.stack([one.float().norm() for one in self._grads]).norm())

    def _eager(self) -> None:
        torch._foreach_zero_(self._grads)
        cuda = self.device.type == "cuda"
        mixed = (
            torch.autocast("cuda", torch.bfloat16, cache_enabled=False) if cuda else nullcontext()
        )
        batches = {name: one.sides["train"].at(self.rows[name]) for name, one in self._data.items()}
        with mixed:
            found = self._outputs({name: batch[0] for name, batch in batches.items()})
        total = torch.zeros((), device=self.device)
        for name, output in found.items():
            task = self._model.models[name].task
            loss = task.loss(output.float(), batches[name][1], self._config.tasks[name].loss)
            total = total + loss * (self._shares[name] / self._data[name].constant_loss)
        total.backward()
        self.total.add_(total.detach())

    def _outputs(self, inputs: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        models = self._model.models
        if self._apart or len(inputs) == 1:
            return {name: models[name](one) for name, one in inputs.items()}
        tokens = {name: models[name].encoder(one) for name, one in inputs.items()}
        parts = self._in_rows(tokens) if self._packs(tokens) else self._padded(tokens)
        return {
            name: models[name].head(part[:, -models[name].positions :].float(), inputs[name])
            for name, part in parts.items()
        }

    def _packs(self, tokens: Mapping[str, Tensor]) -> bool:
        return self._model.backbone in LEAN and len({len(one) for one in tokens.values()}) == 1

    def _in_rows(self, tokens: Mapping[str, Tensor]) -> dict[str, Tensor]:
        backbone = self._model.backbone
        lengths = tuple(one.shape[1] for one in tokens.values())
        row = torch.cat([one.to(backbone.dtype) for one in tokens.values()], dim=1)
        vectors = LEAN[backbone](row, lengths).split(lengths, dim=1)
        return dict(zip(tokens, vectors, strict=True))

    def _padded(self, tokens: Mapping[str, Tensor]) -> dict[str, Tensor]:
        backbone = self._model.backbone
        longest = max(one.shape[1] for one in tokens.values())
        padded = [
            torch.nn.functional.pad(one.to(backbone.dtype), (0, 0, 0, longest - one.shape[1]))
            for one in tokens.values()
        ]
        parts = backbone(torch.cat(padded), longest).split([len(one) for one in padded])
        return {
            name: part[:, : one.shape[1]]
            for (name, one), part in zip(tokens.items(), parts, strict=True)
        }


def train_fast(
    model: JointModel, config: MixtureConfig, seed: int, data: Mapping[str, Resident]
) -> Trained:
    """`training`, to its end."""
    steps = training(model, config, seed, data)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            trained: Trained = end.value
            return trained


def training(
    model: JointModel,
    config: MixtureConfig,
    seed: int,
    data: Mapping[str, Resident],
    *,
    limit_s: float = 1e9,
    gradients: Gradients | None = None,
    rows: Mapping[str, NDArray[np.int64]] | None = None,
) -> Generator[None, None, Trained]:
    """Train to the last step or for `limit_s`, pausing after each; the model then has its best
    weights, in eval mode.

    `gradients`: of an earlier training of this model, whose graph is used again. `rows`: the
    training samples that are drawn, of tasks that do not use all.
    """
    began = time.monotonic()
    all_learned = model.trained_parameters()
    kept = {
        name: value
        for name, value in all_learned.items()
        if config.train_backbone or not name.startswith("backbone.")
    }
    device = next(model.parameters()).device
    cuda = device.type == "cuda"
    lengths = {name: len(one.sides["train"]) for name, one in data.items()}
    power = {"equal": 0.0, "root": 0.5}[config.shares]
    weights = {name: length**power for name, length in lengths.items()}
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    sizes = {name: min(size, lengths[name]) for name, size in batch_sizes(shares, config).items()}
    drawn = {
        name: _drawn(name, size, lengths[name], seed, config, (rows or {}).get(name), device)
        for name, size in sizes.items()
    }
    model.train()
    result = Trained(model)
    if gradients is None:
        gradients = Gradients(model, config, data, sizes, shares)
        for name, one in drawn.items():
            gradients.rows[name].copy_(one[0])  # real samples for the comparison in `capture`
        # cuDNN's GRU cannot be replayed from a graph.
        if cuda and config.model.kind != "gru":
            gradients.capture()
    result.captured, result.not_captured = gradients.captured, gradients.failed
    optimiser = torch.optim.AdamW(
        kept.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=cuda
    )
    autocast = torch.bfloat16 if cuda else None
    best = {name: value.detach().clone() for name, value in kept.items()}
    gradients.total.zero_()
    for step in range(1, config.max_steps + 1):
        if step == 1 or (step - 1) % config.evaluate_every == 0:
            model.train()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        for name, one in drawn.items():
            gradients.rows[name].copy_(one[step - 1])
        gradients.run()
        torch.nn.utils.clip_grad_norm_(list(kept.values()), config.clip, foreach=True)
        optimiser.step()
        over = time.monotonic() - began > limit_s
        if step % config.evaluate_every == 0 or step == config.max_steps or over:
            losses = {
                name: loss_on(
                    model, config, name, one, limit=config.evaluate_samples, autocast=autocast
                )
                for name, one in data.items()
            }
            mean = sum(losses.values()) / len(losses)
            train = float(gradients.total) / config.evaluate_every
            gradients.total.zero_()
            result.curve.append({"step": step, "train": train, "validation": mean, **losses})
            if mean < result.best_loss:
                result.best_loss, result.best_step = mean, step
                torch._foreach_copy_(list(best.values()), [v.detach() for v in kept.values()])
        result.steps = step
        if over:
            break
        yield
    with torch.no_grad():
        for name, kept_best in best.items():
            kept[name].copy_(kept_best)
    model.eval()
    result.gradients = gradients
    result.wall_s = time.monotonic() - began
    return result


def _drawn(
    name: str,
    size: int,
    length: int,
    seed: int,
    config: MixtureConfig,
    rows: NDArray[np.int64] | None,
    device: torch.device,
) -> Tensor:
    """The rows of all steps [steps, size]. Fewer samples than a batch has come more than once."""
    count = length if rows is None else len(rows)
    batches = Batches(min(size, count), count, [seed, *name.encode()])
    table = np.stack([np.resize(batches.at(step + 1), size) for step in range(config.max_steps)])
    return torch.from_numpy(table if rows is None else rows[table]).to(device)
