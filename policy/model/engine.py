"""Inference: batches of any size through static shapes, as fast as the device allows.

A request batch is packed into one row per sample. On CUDA one captured graph per bucket of batch
sizes copies the rows to the device, runs the model and copies the outputs back, so that a batch
costs one launch; larger batches run in slices of the largest bucket. On a CPU the rows run as they
are. The engine knows shapes, not tasks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policy.model.backbone import LlmBackbone
from policy.model.decoder import (
    Attention,
    LeanDecoder,
    broadcast_attention,
    fused_attention,
    supported,
)
from policy.model.errors import ModelError
from policy.model.model import PolicyModel
from policy.model.packed import pack_linears, packable
from policy.model.packing import Packing

Variant = Literal["eager", "lean", "packed", "graph", "compile", "compile-broadcast", "autotune"]
"""How the forward pass runs:

- eager: the training model as it is; lean: with `LeanDecoder`; packed: lean with `PackedLinear`
  (CPU);
- graph: lean in CUDA graphs; compile: lean, its blocks compiled, in CUDA graphs (on a CPU without
  them);
- compile-broadcast: that with `broadcast_attention`; autotune: that with the compiler's search for
  the fastest matrix products.
"""

COMPILED: tuple[Variant, ...] = ("compile", "compile-broadcast", "autotune")
"""Variants whose first start takes minutes."""
BUCKETS = (1, 4, 16, 64, 256, 1024)
_MAX_CPU_THREADS = 8  # products this small do not scale further


class Engine:
    """Runs one model. Not thread-safe: one engine, one worker."""

    def __init__(
        self,
        model: PolicyModel,
        device: str | torch.device,
        dtype: torch.dtype,
        *,
        variant: Variant,
        buckets: Sequence[int] = BUCKETS,
        decoder: LeanDecoder | None = None,
    ) -> None:
        """decoder: where several models share one; adapters are merged then."""
        checked(variant)
        self.device = torch.device(device)
        self.variant = variant
        self.packing = Packing(model.task.inputs(model.config))
        self.buckets = tuple(sorted(buckets))
        compiled = variant in COMPILED
        module = inference_module(
            model.for_inference(self.device, dtype),
            lean=variant != "eager",
            attend=attention_of(variant),
            decoder=decoder,
        )
        if variant == "packed" and isinstance(module, _Chain) and decoder is None:
            pack_linears(module.decoder, model.tokens)
        elif compiled:
            compile_blocks(module, "max-autotune-no-cudagraphs" if variant == "autotune" else None)
        graphs = self.device.type == "cuda" and (compiled or variant == "graph")
        self._runners: list[_Runner] = []
        if graphs:
            pool = torch.cuda.graph_pool_handle()  # one for all: they never run at the same time
            for size in reversed(self.buckets):
                self._runners.insert(0, _GraphRunner(module, self.packing, size, self.device, pool))
        else:
            self._runners.append(_DirectRunner(module, self.packing, self.buckets[-1], self.device))

    def warm_up(self, rounds: int = 2) -> None:
        """Run every bucket a few times, so that the first real batch meets no lazy
        initialisation.
        """
        for runner in self._runners:
            for _ in range(rounds):
                runner.run(runner.size)
        if isinstance(self._runners[0], _DirectRunner):
            for _ in range(rounds):
                self._runners[0].run(1)

    def run(self, inputs: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float32]:
        """Outputs [n, ...] of a batch of n >= 0 samples; every input has n as its first
        dimension.
        """
        n = len(next(iter(inputs.values())))
        outputs = []
        for start in range(0, n, self.buckets[-1]):
            count = min(n - start, self.buckets[-1])
            runner = next(runner for runner in self._runners if runner.size >= count)
            self.packing.fill(runner.rows, inputs, start, count)
            outputs.append(runner.run(count).copy())
        return np.concatenate(outputs) if outputs else np.empty(0, np.float32)


class _Runner(Protocol):
    size: int
    rows: NDArray[np.float32]

    def run(self, count: int) -> NDArray[np.float32]: ...


class _DirectRunner:
    """Calls the module on the rows that are in use."""

    def __init__(
        self, module: nn.Module, packing: Packing, size: int, device: torch.device
    ) -> None:
        self.size = size
        self._module, self._packing, self._device = module, packing, device
        self._host = torch.zeros(size, packing.width)
        self.rows = self._host.numpy()

    @torch.inference_mode()
    def run(self, count: int) -> NDArray[np.float32]:
        rows = self._host[:count].to(self._device)
        out: Tensor = self._module(self._packing.split(rows)).float().cpu()
        return out.numpy()


class _GraphRunner:
    """Replays a graph of copy in, forward, copy out, captured for one batch size."""

    def __init__(
        self, module: nn.Module, packing: Packing, size: int, device: torch.device, pool: Any
    ) -> None:
        self.size = size
        self._device = device
        self._host = torch.zeros(size, packing.width, pin_memory=True)
        self.rows = self._host.numpy()
        # A graph keeps addresses, not tensors: whatever it reads that is not of its own pool must
        # live as long as it.
        self._read = (module, rows := torch.zeros(size, packing.width, device=device))

        def forward() -> Tensor:
            rows.copy_(self._host, non_blocking=True)
            out: Tensor = module(packing.split(rows)).float()
            return out

        with torch.cuda.device(device), torch.inference_mode():
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):  # compiles, and lets libraries choose kernels, before capture
                    shape = forward().shape
            torch.cuda.current_stream().wait_stream(stream)
            self._out = torch.zeros(shape, pin_memory=True)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, pool=pool):
                self._out.copy_(forward(), non_blocking=True)
        self._result = self._out.numpy()
        self._done = torch.cuda.Event(
            blocking=True
        )  # who waits sleeps and leaves the core to others

    def run(self, count: int) -> NDArray[np.float32]:
        with torch.cuda.device(self._device):
            self._graph.replay()
            self._done.record()
            self._done.synchronize()
        return self._result[:count]


def inference_module(
    model: PolicyModel,
    *,
    lean: bool,
    attend: Attention = fused_attention,
    decoder: LeanDecoder | None = None,
) -> nn.Module:
    """The model with adapters merged, its backbone replaced by the lean pass where that exists, or
    by the one that is given.
    """
    if isinstance(model.backbone, LlmBackbone):
        if decoder is None:
            model.backbone.activate(model.config.task)
            model.backbone.merge_adapters()
        if lean and supported(model.backbone.llm):
            decoder = decoder or LeanDecoder(model.backbone.llm, model.tokens, attend)
            return _Chain(model.encoder, decoder, model.head, model.positions)
    return model


def attention_of(variant: Variant) -> Attention:
    """How a variant computes attention."""
    broadcast = variant in ("compile-broadcast", "autotune")
    return broadcast_attention if broadcast else fused_attention


def compile_blocks(module: nn.Module, mode: str | None) -> None:
    """Compile encoder, head and each block; all blocks share one compiled graph per shape."""
    torch._dynamo.config.recompile_limit = 64  # one per bucket and block kind
    for child in module.modules():
        if isinstance(child, LeanDecoder):
            for block in child.blocks:
                block.compile(dynamic=False, mode=mode)
    for name in ("encoder", "head"):
        getattr(module, name).compile(dynamic=False, mode=mode)


class _Chain(nn.Module):
    def __init__(
        self, encoder: nn.Module, decoder: LeanDecoder, head: nn.Module, positions: int
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self.positions = positions

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        tokens = self.encoder(inputs)
        vectors = self.decoder(tokens.to(self.decoder.dtype), self.positions)
        out: Tensor = self.head(vectors.float(), inputs)
        return out


def best_variant(model: PolicyModel, device: str) -> Variant:
    """The variant that measured fastest among those that are safe in a server
    (docs/reference/nioka.md).
    """
    lean = isinstance(model.backbone, LlmBackbone) and supported(model.backbone.llm)
    if device.startswith("cuda"):
        # The controls are small enough without a graph, and cuDNN's GRU cannot be replayed from
        # one.
        return "graph" if lean else "eager"
    return "packed" if lean and packable(torch.bfloat16) else "lean"


def make_engine(
    model: PolicyModel, device: str, variant: str, decoder: LeanDecoder | None = None
) -> Engine:
    """An engine as a server uses it: on CUDA an LLM in bf16, on a CPU in float32 but for packed
    bf16 weights.

    Controls stay in float32. On a CPU half of the cores compute: threads of one product wait for
    each other, and beside a live network each wait may last a scheduler's time slice.

    Raises:
        ModelError: there is no such variant.
    """
    cuda = device.startswith("cuda")
    if not cuda:
        torch.set_num_threads(min(max(len(os.sched_getaffinity(0)) // 2, 1), _MAX_CPU_THREADS))
    return Engine(
        model,
        device,
        dtype_of(model, device, variant),
        variant=checked(variant),
        buckets=BUCKETS if cuda else (64,),
        decoder=decoder,
    )


def dtype_of(model: PolicyModel, device: str, variant: str) -> torch.dtype:
    """In which type a server runs the backbone."""
    llm = isinstance(model.backbone, LlmBackbone)
    small = llm and (device.startswith("cuda") or variant == "packed")
    return torch.bfloat16 if small else torch.float32


def default_engine(model: PolicyModel, device: str = "auto") -> Engine:
    """The best variant on the device; auto: CUDA where there is one."""
    device = resolve_device(device)
    return make_engine(model, device, best_variant(model, device))


def resolve_device(device: str) -> str:
    """`auto` settled."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def checked(variant: str) -> Variant:
    """Raises ModelError if there is no such variant."""
    if variant not in get_args(Variant):
        raise ModelError(f"no engine variant {variant!r}; known: {', '.join(get_args(Variant))}")
    known: Variant = variant  # type: ignore[assignment]
    return known
