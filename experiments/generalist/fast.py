"""The mixture's training for many short runs: samples on the device, one pass of the backbone for
all tasks, and on CUDA the whole gradient as one graph.

The objective, the schedule, the optimiser and the settings are those of
`policy.training.mixture`. Sequences of all tasks are padded at their end, which causal models do
not see, so that one pass serves them. A step costs one launch then; without a graph an LLM of
eight blocks is bound by launches, at a tenth of the speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from experiments.generalist.resident import Resident, loss_on
from policy.model.backbone import LlmBackbone
from policy.model.joint import JointModel
from policy.training.batches import Batches
from policy.training.loop import learning_rate
from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.data import batch_sizes

State = Mapping[str, Tensor]


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
        _lean(model.backbone)
    return model


def _lean(backbone: LlmBackbone) -> None:
    """Let the backbone call its blocks one after the other. Transformers' own pass looks at masks
    and positions on the processor, which no graph can hold.
    """
    peft = hasattr(backbone.llm, "peft_config")
    llm: Any = backbone.llm.base_model.model if peft else backbone.llm
    places: dict[int, Tensor] = {}

    def forward(tokens: Tensor, positions: int = 1) -> Tensor:
        length = tokens.shape[1]
        if length not in places:
            places[length] = torch.arange(length, device=tokens.device)[None]
        turned = llm.rotary_emb(tokens, position_ids=places[length])
        for block in llm.layers:
            tokens = block(tokens, attention_mask=None, position_embeddings=turned, use_cache=False)
        out: Tensor = llm.norm(tokens)
        return out[:, -positions:]

    backbone.forward = forward  # type: ignore[method-assign]


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
        self._apart = config.model.kind == "nioka" and config.model.backbone.lora.rank_per_task > 0

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
            # Dropout differs between the two.
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
        backbone = self._model.backbone
        tokens = {name: models[name].encoder(one) for name, one in inputs.items()}
        longest = max(one.shape[1] for one in tokens.values())
        padded = [
            torch.nn.functional.pad(one.to(backbone.dtype), (0, 0, 0, longest - one.shape[1]))
            for one in tokens.values()
        ]
        vectors = backbone(torch.cat(padded), longest)
        parts = vectors.split([len(one) for one in padded])
        found = {}
        for (name, one), part in zip(tokens.items(), parts, strict=True):
            length, read = one.shape[1], models[name].positions
            found[name] = models[name].head(part[:, length - read : length].float(), inputs[name])
        return found


def train_fast(
    model: JointModel,
    config: MixtureConfig,
    seed: int,
    data: Mapping[str, Resident],
    *,
    limit_s: float = 1e9,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Trained:
    """Train to the last step or for `limit_s`; the model then has its best weights, in eval mode.

    `wanted`: names of parameters that are trained.
    """
    began = time.monotonic()
    all_learned = model.trained_parameters()
    kept = {
        name: value
        for name, value in all_learned.items()
        if wanted(name) and (config.train_backbone or not name.startswith("backbone."))
    }
    for name, value in all_learned.items():
        value.requires_grad_(name in kept)
    device = next(model.parameters()).device
    cuda = device.type == "cuda"
    lengths = {name: len(one.sides["train"]) for name, one in data.items()}
    power = {"equal": 0.0, "root": 0.5}[config.shares]
    weights = {name: length**power for name, length in lengths.items()}
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    sizes = {name: min(size, lengths[name]) for name, size in batch_sizes(shares, config).items()}
    batches = {
        name: Batches(size, lengths[name], [seed, *name.encode()]) for name, size in sizes.items()
    }
    model.train()
    gradients = Gradients(model, config, data, sizes, shares)
    # Rows of real samples, for the comparison in `capture`.
    _draw(gradients, batches, 1)
    # cuDNN's GRU cannot be replayed from a graph.
    result = Trained(model, captured=cuda and config.model.kind != "gru" and gradients.capture())
    result.not_captured = gradients.failed
    optimiser = torch.optim.AdamW(
        kept.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=cuda
    )
    autocast = torch.bfloat16 if cuda else None
    best = {name: value.detach().clone() for name, value in kept.items()}
    for step in range(1, config.max_steps + 1):
        if step == 1 or (step - 1) % config.evaluate_every == 0:
            model.train()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        _draw(gradients, batches, step)
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
    with torch.no_grad():
        for name, kept_best in best.items():
            kept[name].copy_(kept_best)
    for value in all_learned.values():
        value.grad = None
        value.requires_grad_(True)
    model.eval()
    result.wall_s = time.monotonic() - began
    return result


def _draw(gradients: Gradients, batches: Mapping[str, Batches], step: int) -> None:
    for name, one in batches.items():
        rows = torch.from_numpy(one.at(step))
        if gradients.device.type == "cuda":
            rows = rows.pin_memory()
        gradients.rows[name].copy_(rows, non_blocking=True)
