"""Makes a checkpoint's portable file: the whole model as plain ONNX, for `policy.model.portable`.

Adapters are merged and the backbone is the lean pass (`policy.model.decoder`). Of a language model
the large weight matrices are kept in int8 or int4, symmetric, with one float32 scale for each block
of 64 weights of a column (weight-only quantisation: activations stay float32 in the file).
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policy.model import checkpoint
from policy.model.engine import inference_module
from policy.model.errors import ModelError
from policy.model.info import PortableRecord, read_info
from policy.model.model import PolicyModel
from policy.model.weights import sha256

if TYPE_CHECKING:
    import onnx

FILE = "portable.onnx"
BLOCK = 64
"""Weights that share a scale."""
OPSET = 21
"""The first in which DequantizeLinear takes blocks."""
_SMALL = 2**16
"""Matrices of fewer weights stay in float32."""
_CARD = "\n## Portable file\n"


def export(folder: Path) -> list[PortableRecord]:
    """Write the portable files of a checkpoint, one for each of its tasks, into its folder, and
    enter them in config.json and the model card.

    Raises ModelError: not a loadable checkpoint, or the packages for exporting are missing.
    """
    info = read_info(folder, portable=False)
    if info.joint is None:
        return [_export(folder, None, FILE)]
    return [_export(folder, task, f"portable-{task}.onnx") for task in info.tasks]


def _export(folder: Path, task: str | None, file: str) -> PortableRecord:
    """task: of a checkpoint of several tasks the one whose model this is."""
    model, info = checkpoint.load(folder, task=task, portable=False)
    bits = 8 if info.model.kind == "nioka" else None
    part = folder / f".{file}"
    try:
        save(onnx_of(model), part, bits=bits)
        target = part.replace(folder / file)
    finally:
        part.unlink(missing_ok=True)
    weights = f"int{bits} in blocks of {BLOCK}" if bits else "float32"
    record = PortableRecord(file=file, sha256=sha256(target), weights=weights)
    _enter(folder, record, target.stat().st_size, task)
    return record


def onnx_of(model: PolicyModel) -> onnx.ModelProto:
    """The model as ONNX in float32, for batches of any size; inputs have the task's names. Raises
    ModelError.
    """
    arrays = list(model.task.inputs(model.config))
    names = [array.name for array in arrays]
    module = _Positional(inference_module(model, lean=True, attend=product_attention), names)
    example = tuple(torch.from_numpy(np.ones((2, *array.shape), array.dtype)) for array in arrays)
    batch = torch.export.Dim("batch")
    shapes = (tuple({0: batch} for _ in names),)
    return traced(module.eval(), example, names, "output", shapes)


def traced(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    output: str,
    dynamic_shapes: Any,
) -> onnx.ModelProto:
    """A module in evaluation mode as ONNX in float32, without paths of this machine; arguments as
    of `torch.onnx.export`. Raises ModelError if the packages for exporting are missing.
    """
    for needed in ("onnx", "onnxscript"):
        if find_spec(needed) is None:
            raise ModelError(f"exporting needs {needed}; install the extra: make policy")
    with warnings.catch_warnings(), torch.no_grad(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        for noisy in ("onnxscript", "torch.onnx"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            example,
            input_names=inputs,
            output_names=[output],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            dynamic_shapes=dynamic_shapes,
        )
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]  # stack traces, with the paths of this machine
        node.doc_string = ""
    del proto.graph.value_info[:]
    del proto.graph.metadata_props[:]
    return proto


def save(proto: onnx.ModelProto, file: Path, *, bits: int | None) -> None:
    """Write a model; with `bits` (8 or 4) the large matrices of its products in so many bits."""
    import onnx

    if bits is not None:
        quantise(proto, bits)
    onnx.checker.check_model(proto)
    onnx.save(proto, file)


def quantise(proto: onnx.ModelProto, bits: int) -> None:
    """Replace the right-hand matrices of products by integers and scales, in place."""
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kind = {8: TensorProto.INT8, 4: TensorProto.INT4}[bits]
    nodes, replaced = [], set()
    for node in graph.node:
        name = node.input[1] if node.op_type == "MatMul" else ""
        if name in stored and _suits(stored[name].dims):
            if name not in replaced:
                values, scales = blocks(numpy_helper.to_array(stored[name]), bits)
                graph.initializer.append(
                    helper.make_tensor(
                        f"{name}.int", kind, values.shape, _packed(values, bits), True
                    )
                )
                graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scale"))
                inputs = [f"{name}.int", f"{name}.scale"]
                nodes.append(
                    helper.make_node(
                        "DequantizeLinear", inputs, [f"{name}.float"], axis=0, block_size=BLOCK
                    )
                )
                replaced.add(name)
            node.input[1] = f"{name}.float"
        nodes.append(node)
    kept = [tensor for tensor in graph.initializer if tensor.name not in replaced]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)


def blocks(matrix: NDArray[np.float32], bits: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix [k, m] as integers [k, m] and scales [k / BLOCK, m], to the nearest; the largest
    weight of a block is exact.
    """
    k, m = matrix.shape
    rows = matrix.reshape(k // BLOCK, BLOCK, m)
    most = 2 ** (bits - 1) - 1
    scales = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny) / most
    values = np.rint(rows / scales[:, None]).astype(np.int8)
    return values.reshape(k, m), scales.astype(np.float32)


def _suits(dims: Any) -> bool:
    return len(dims) == 2 and math.prod(dims) >= _SMALL and dims[0] % BLOCK == 0


def _packed(values: NDArray[np.int8], bits: int) -> bytes:
    """As ONNX stores them: two int4 in a byte, the first in its lower half."""
    if bits == 8:
        return values.tobytes()
    low, high = values.reshape(-1, 2).view(np.uint8).T & 15
    return bytes((low | high << 4).astype(np.uint8).tobytes())


def product_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`policy.model.decoder.fused_attention` as matrix products, which ONNX has."""
    _, heads, queries, dim = q.shape
    kv_heads, length = k.shape[1], k.shape[2]
    group = heads // kv_heads
    scores = q.reshape(-1, kv_heads, group * queries, dim) @ k.transpose(2, 3) / math.sqrt(dim)
    if queries > 1:
        hidden = torch.full((queries, length), -torch.inf).triu(length - queries + 1)
        scores = scores + hidden.repeat(group, 1)
    return (scores.softmax(-1) @ v).reshape(-1, heads, queries, dim)


class _Positional(nn.Module):
    """A model of named inputs as one of positional inputs, which the exporter takes."""

    def __init__(self, module: nn.Module, names: list[str]) -> None:
        super().__init__()
        self._module, self._names = module, names

    def forward(self, *inputs: Tensor) -> Tensor:
        out: Tensor = self._module(dict(zip(self._names, inputs, strict=True)))
        return out


def _enter(folder: Path, portable: PortableRecord, size_bytes: int, task: str | None) -> None:
    path, card = folder / "config.json", folder / "README.md"
    record = json.loads(path.read_text())
    (record if task is None else record["tasks"][task])["portable"] = portable.model_dump()
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(path)
    text, _, others = card.read_text().partition(_CARD)
    text = text.rstrip("\n")
    lines = "".join(f"{line}\n" for line in others.splitlines() if f"`{portable.file}`" not in line)
    lines += (
        f"`{portable.file}` is the whole model for ONNX Runtime on a CPU, made by `tbtest models "
        f"export`: {size_bytes / 1e6:.1f} MB, weights {portable.weights}, SHA-256 "
        f"`{portable.sha256}`."
    )
    card.write_text(f"{text}\n{_CARD}\n{lines}\n")
