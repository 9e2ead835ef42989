"""Inference on a CPU without PyTorch: a checkpoint's portable file under ONNX Runtime.

The file (`policy.model.export`) is plain ONNX. A large model's weights are int8 with a scale for
each block; ONNX Runtime multiplies them as they are, or unfolds them to float32 once at loading.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from policy.model.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime

Products = Literal["int8", "float32"]
"""In which type the weights of large models are multiplied; small ones are float32 throughout."""
LARGEST_BATCH = 64
_MAX_THREADS = 8
_CPU = Path("/proc/cpuinfo")
_DOT_PRODUCT = frozenset({"avx512_vnni", "avx_vnni", "avxvnni", "asimddp"})
"""What /proc/cpuinfo calls the instructions that multiply and add four int8 at once."""


class PortableEngine:
    """Runs one portable file. Not thread-safe: one engine, one worker."""

    buckets = (LARGEST_BATCH,)

    def __init__(
        self, file: Path, *, products: Products | None = None, threads: int | None = None
    ) -> None:
        """products: `best_products()` if None. threads: half of the process' cores if None, since
        threads of one product wait for each other, beside a live network for a time slice each.

        Raises ModelError: ONNX Runtime is not installed or does not take the file.
        """
        self.products = products or best_products()
        if self.products not in get_args(Products):
            raise ModelError(f"no products in {products!r}; known: {', '.join(get_args(Products))}")
        self._session = _session(file, self.products, threads or default_threads())
        self._inputs = {
            value.name: (value.shape[1:], np.dtype(_NUMPY_TYPES[value.type]))
            for value in self._session.get_inputs()
        }

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        said: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return said

    def warm_up(self) -> None:
        """Run small batches, so that the first real one finds its memory; the largest would hold up
        the start.
        """
        for size in (4, 1):
            self.run(
                {
                    # A dimension of any size has a name; two is as good as another.
                    name: np.ones((size, *(2 if isinstance(dim, str) else dim for dim in shape)))
                    for name, (shape, _) in self._inputs.items()
                },
            )

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Outputs [n, ...] of a batch of n >= 0 samples; every input has n as its first dimension.

        Raises ValueError: an input is absent or has another shape than the file asks for.
        """
        n = len(next(iter(inputs.values())))
        outputs = []
        for start in range(0, n, LARGEST_BATCH):
            stop = min(start + LARGEST_BATCH, n)
            part = {name: self._part(inputs, name, start, stop) for name in self._inputs}
            outputs.append(self._session.run(None, part)[0])
        return np.concatenate(outputs) if outputs else np.empty(0, np.float32)

    def _part(
        self, inputs: Mapping[str, NDArray[Any]], name: str, start: int, stop: int
    ) -> NDArray[Any]:
        shape, kind = self._inputs[name]
        if name not in inputs:
            raise ValueError(f"input {name!r} is missing")
        part = np.ascontiguousarray(inputs[name][start:stop], kind)
        fits = len(part.shape[1:]) == len(shape) and all(
            isinstance(wanted, str) or size == wanted
            for size, wanted in zip(part.shape[1:], shape, strict=True)
        )
        if not fits:
            raise ValueError(f"input {name!r} has shape {part.shape[1:]}, expected {tuple(shape)}")
        return part


_NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(bool)": np.bool_, "tensor(int64)": np.int64}


def _session(file: Path, products: Products, threads: int) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"{file} needs ONNX Runtime, which cannot be imported ({error}); "
            "pip install onnxruntime"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A thread that spins for work takes the core from the network under test.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if products == "int8":
        # Products of int8 with int8: level 4, where 0 would unfold the weights at every call.
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "4")
    else:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 (ONNX Runtime's own derive from Exception alone)
        raise ModelError(f"{file} cannot be run: {str(error).splitlines()[0]}") from None


def best_products() -> Products:
    """int8 where the processor has instructions for it, else float32: with AVX2 alone int8 in
    blocks is slower than float32 (docs/results/engine.md).
    """
    try:
        words = set(_CPU.read_text(encoding="utf-8").split())
    except OSError:
        return "float32"
    return "int8" if words & _DOT_PRODUCT else "float32"


def default_threads() -> int:
    """Half of the cores that this process may use, at least one and at most eight."""
    return min(max(len(os.sched_getaffinity(0)) // 2, 1), _MAX_THREADS)
