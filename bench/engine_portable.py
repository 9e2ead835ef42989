"""A shipped checkpoint as ONNX files under ONNX Runtime: size, latency, and how far answers move.

    pip install onnx onnxscript onnxruntime     # not among the project's own requirements
    python bench/engine_portable.py --model llm --out /tmp/portable

Writes MODEL.onnx in float32 and variants with weights quantised per block (MatMulNBits). Answers
are compared with the float32 model in PyTorch on random windows, which are unlike a flow's: they
show mistakes of the export, not what a quantised model does in the closed loop.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import matmul_nbits_quantizer as nbits
from torch import Tensor, nn

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # run from a clone that is not installed

from policy.model import checkpoint, decoder
from policy.model.engine import inference_module

VARIANTS = {
    f"int{bits} block {block} level {level}": (bits, block, level)
    for bits, block, level in itertools.product((8, 4), (32, 64), (0, 4))
}
"""Bits, weights that share a scale, and accuracy level (0: float32 products; 4: int8 products)."""


class Positional(nn.Module):
    """A model of named inputs as one of positional inputs, which the exporter takes."""

    def __init__(self, module: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.module, self.names = module, names

    def forward(self, *inputs: Tensor) -> Tensor:
        """The model's output."""
        out: Tensor = self.module(dict(zip(self.names, inputs, strict=True)))
        return out


def plain_norm(x: Tensor, shape: Any, weight: Tensor, eps: float) -> Tensor:
    """`torch.nn.functional.rms_norm` in operators that ONNX has."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`policy.model.decoder.fused_attention` in operators that ONNX has."""
    _, heads, queries, dim = q.shape
    kv_heads, length = k.shape[1], k.shape[2]
    group = heads // kv_heads
    scores = q.reshape(-1, kv_heads, group * queries, dim) @ k.transpose(2, 3) / math.sqrt(dim)
    if queries > 1:
        scores = scores + torch.full((queries, length), -torch.inf).triu(1).repeat(group, 1)
    return (scores.softmax(-1) @ v).reshape(-1, heads, queries, dim)


def samples(shapes: dict[str, tuple[int, ...]], count: int) -> dict[str, np.ndarray]:
    """Random inputs of positive size; all windows exist."""
    rng = np.random.default_rng(0)
    values = {
        name: rng.uniform(1, 1e6, (count, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    return values | {"valid": np.ones_like(values["valid"])}


def quantised(source: Path, bits: int, block: int, level: int, target: Path) -> Path:
    """The model with the weights of its matrix products in so many bits."""
    config = nbits.DefaultWeightOnlyQuantConfig(
        block_size=block, is_symmetric=True, accuracy_level=level, bits=bits
    )
    quantiser = nbits.MatMulNBitsQuantizer(onnx.load(source), algo_config=config)
    quantiser.process()
    onnx.save(quantiser.model.model, target)
    return target


def latency_ms(session: onnxruntime.InferenceSession, inputs: Any, seconds: float) -> np.ndarray:
    """Least and median time of a call."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 10 or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, inputs)
        times.append(time.perf_counter() - start)
    return np.percentile(times, [0, 50]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="llm", help="bundled name or checkpoint folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each measurement")
    parser.add_argument("--out", type=Path, default=Path("portable"), help="folder for the files")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model, info = checkpoint.load(checkpoint.resolve(args.model))
    shapes = model.task.inputs(info.model).shapes
    decoder.functional.rms_norm = plain_norm
    module = Positional(inference_module(model, lean=True, attend=plain_attention), list(shapes))
    inputs = samples(shapes, 64)
    with torch.no_grad():
        tensors = tuple(torch.from_numpy(value) for value in inputs.values())
        reference = module(*tensors).numpy()
        files = {"float32": args.out / f"{Path(args.model).name}.onnx"}
        torch.onnx.export(
            module, tensors, files["float32"], input_names=list(shapes), opset_version=18,
            dynamo=True, external_data=False, verbose=False,
            dynamic_shapes=(tuple({0: torch.export.Dim("n")} for _ in shapes),),
        )  # fmt: skip
    for name, (bits, block, level) in VARIANTS.items():
        target = args.out / f"{Path(args.model).name}-{name.replace(' ', '-')}.onnx"
        files[name] = quantised(files["float32"], bits, block, level, target)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    print("variant | MB | largest |difference| in log2 rate | batch: least, median ms")
    for name, file in files.items():
        session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
        moved = np.abs(session.run(None, inputs)[0] - reference).max()
        row = [name, f"{file.stat().st_size / 1e6:.1f}", f"{moved:.5f}"]
        for batch in (1, 4, 16):
            part = {key: value[:batch] for key, value in inputs.items()}
            least, median = latency_ms(session, part, args.seconds)
            row.append(f"{batch}: {least:.2f}, {median:.2f}")
        print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
