"""The gradient of one step of the mixture: one pass of the backbone for all tasks, and on CUDA one
graph.

A step is recorded as a CUDA graph after it has run a few times as it will be recorded, the last of
them with everything forbidden that waits for the device: what cannot be recorded says so before a
recording begins. One that fails all the same must not cost the trainings after it, so that the
stream and the random numbers' state are put back.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from experiments.generalist.lean import Lean
from experiments.generalist.precision import mixed_dtype
from experiments.generalist.resident import Resident
from policy.model.joint import JointModel
from policy.tasks.cjs.encoder import GraphEncoder
from policy.training.mixture.config import MixtureConfig

LEAN: WeakKeyDictionary[nn.Module, Lean] = WeakKeyDictionary()
"""Of each language model that `fast.build` made, its pass of several sequences in one row."""
_WARM_UPS = 3


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
        self._small = mixed_dtype(config, self.device)
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
        self._take_all_rows(True)
        try:
            graph = self._record()
            graph.replay()
            norm = self._norm()
            self._eager()
            again = self._norm()
            # Small transformers have dropout, which differs between the two.
            if 0.3 < (norm + 1e-9) / (again + 1e-9) < 3.0:
                self._graph = graph
            else:
                self.failed = f"norms of gradients {norm:g} and {again:g}"
        except RuntimeError as error:
            self.failed = f"{error.__context__ or error}"[:500]
        if self._graph is None:
            self._take_all_rows(False)
        self.total.zero_()
        return self.captured

    def _record(self) -> torch.cuda.CUDAGraph:
        # A stream of its own: graphs that were recorded on one stream share work space, and may
        # not be replayed side by side.
        stream = torch.cuda.Stream(self.device)
        before = torch.cuda.current_stream(self.device)
        with _undone_on_failure(self.device):
            stream.wait_stream(before)
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    self._eager()
                with _nothing_waits():
                    self._eager()
            before.wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                self._eager()
        return graph

    def _take_all_rows(self, on: bool) -> None:
        for module in self._model.modules():
            if isinstance(module, GraphEncoder):
                module.all_rows = on

    def _norm(self) -> float:
        return float(torch.stack([one.float().norm() for one in self._grads]).norm())

    def _eager(self) -> None:
        torch._foreach_zero_(self._grads)
        small = self._small
        mixed = torch.autocast(self.device.type, small, small is not None, cache_enabled=False)
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


@contextlib.contextmanager
def _nothing_waits() -> Iterator[None]:
    """Whatever waits for the device raises RuntimeError."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextlib.contextmanager
def _undone_on_failure(device: torch.device) -> Iterator[None]:
    """What a recording that fails leaves behind: PyTorch's current stream, random numbers that
    still believe in the recording, so that each dropout after it raises.
    """
    stream = torch.cuda.current_stream(device)
    generator = torch.cuda.default_generators[device.index or 0]
    numbers = generator.clone_state()
    collecting = gc.isenabled()
    # A graph that is freed while another is recorded ends the recording.
    gc.collect()
    gc.disable()
    try:
        yield
    except RuntimeError:
        torch.cuda.set_stream(stream)
        generator.graphsafe_set_state(numbers)
        raise
    finally:
        if collecting:
            gc.enable()
