"""Latency and decisions per second of the inference engine, per batch size, against the model's
hardware floor.

    python bench/engine.py --out engine.json                  # everything, on CUDA if there is one
    python bench/engine.py --device cpu --models smollm2-135m --threads 1 --batches 1,8
    python bench/engine.py --layouts "20 tokens,30 tokens" --variants graph,cache

Weights are random (timing does not depend on them). A latency spans the whole `Engine.run`:
packing, copy to the device, forward pass, copy back. The floor is the larger of (multiplications /
the measured speed of a large matrix product) and (weight bytes / the measured memory bandwidth). A
variant that fails is reported and the rest goes on; the JSON file is rewritten after every row.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.ao.quantization import quantize_dynamic

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # run from a clone that is not installed

from bench.kv_cache import CachedEngine
from policy.model.backbone import LlmBackbone
from policy.model.config import BackboneConfig, LoraConfig, ModelConfig
from policy.model.engine import Engine, _DirectRunner, checked
from policy.model.model import PolicyModel
from policy.tasks.congestion.settings import EncoderConfig


def _qwen(hidden: int, inner: int, layers: int, heads: int, kv: int) -> dict[str, Any]:
    return {
        "model_type": "qwen2",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": 32,
    }


SHAPES: dict[str, dict[str, Any]] = {
    "smollm2-135m": {**_qwen(576, 1536, 30, 9, 3), "model_type": "llama"},
    "qwen2.5-0.5b": _qwen(896, 4864, 24, 14, 2),
    "qwen2.5-3b": _qwen(2048, 11008, 36, 16, 2),
    "qwen2.5-7b": _qwen(3584, 18944, 28, 28, 4),
}
LAYOUTS: dict[str, ModelConfig] = {
    "5 tokens": ModelConfig(),
    "10 tokens": ModelConfig(encoder=EncoderConfig(patch=2)),
    "15 tokens (R, a, s)": ModelConfig(
        objective="decision-transformer", encoder=EncoderConfig(action_token=True)
    ),
    "20 tokens": ModelConfig(encoder=EncoderConfig(patch=1)),
    "30 tokens": ModelConfig(encoder=EncoderConfig(state_tokens="group")),
}
VARIANTS = {
    "cuda": ("compile-broadcast", "compile", "graph", "eager", "cache", "autotune"),
    "cpu": ("packed", "lean", "eager", "fp32", "int8"),
}
"""Of the engine, and besides: cache (`bench.kv_cache`); on a CPU fp32 (lean in float32 whatever
--dtype says) and int8 (that with its products in int8, weights quantised before and activations as
they come)."""
BATCHES = {"cuda": (1, 8, 64, 256, 1024, 2048, 4096), "cpu": (1, 2, 4, 8, 16)}


def best_of(call: Callable[[], None], device: torch.device, rounds: int = 10) -> float:
    """Shortest time of a call in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[2:])


def hardware(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """(multiply-add rate in FLOP/s of a large product, bytes/s of reading memory), both measured
    here.
    """
    size = 8192 if device.type == "cuda" else 1024
    a = torch.randn(size, size, device=device, dtype=dtype)
    flops = 2 * size**3 / best_of(lambda: (a @ a, None)[1], device)
    data = torch.zeros(
        (1 << 30 if device.type == "cuda" else 1 << 27), device=device, dtype=torch.int8
    )
    target = torch.empty_like(data)
    bandwidth = 2 * data.numel() / best_of(lambda: (target.copy_(data), None)[1], device)
    return flops, bandwidth


def floor_s(shape: dict[str, Any], tokens: int, batch: int, speed: tuple[float, float]) -> float:
    """Least time for `batch` sequences of `tokens` tokens: products at full speed, or weights read
    once.
    """
    hidden, inner, layers = (
        shape["hidden_size"],
        shape["intermediate_size"],
        shape["num_hidden_layers"],
    )
    head = hidden // shape["num_attention_heads"]
    kv = 2 * shape["num_key_value_heads"] * head
    weights = layers * (2 * hidden * hidden + hidden * kv + 3 * hidden * inner)
    flops = (
        batch * tokens * (2 * weights + layers * 2 * hidden * tokens)
    )  # causal attention: half of 4 h T
    return float(max(flops / speed[0], 2 * weights / speed[1]))


def measure(call: Callable[[], object], seconds: float) -> dict[str, float]:
    """p50 and p99 in ms, calls per second, and CPU time in ms, of a call that returns when it is
    done.
    """
    for _ in range(3):
        call()
    times: list[float] = []
    start, cpu = time.perf_counter(), time.process_time()
    while len(times) < 10 or (time.perf_counter() - start < seconds and len(times) < 5000):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    p50, p99 = np.percentile(times, [50, 99])
    cpu_ms = (time.process_time() - cpu) / len(times) * 1e3
    return {
        "p50_ms": p50 * 1e3,
        "p99_ms": p99 * 1e3,
        "per_s": len(times) / sum(times),
        "cpu_ms": cpu_ms,
    }


def random_inputs(model: PolicyModel, batch: int) -> dict[str, np.ndarray]:
    """Inputs of plausible size; windows come as float64, as from the server."""
    rng = np.random.default_rng(0)
    return {
        name: rng.uniform(1, 1e6, (batch, *shape)).astype(
            np.float64 if name == "windows" else np.float32
        )
        for name, shape in model.task.inputs(model.config).shapes.items()
    }


def random_model(
    shape: dict[str, Any], layout: str, device: torch.device, dtype: torch.dtype
) -> PolicyModel:
    """A model of a shape and layout with random weights, in eval mode, built on the device."""
    backbone = BackboneConfig(architecture=shape, lora=LoraConfig(rank=0))
    with torch.device(device):
        return PolicyModel(LAYOUTS[layout].model_copy(update={"backbone": backbone}), dtype).eval()


def build(
    model: PolicyModel, device: torch.device, dtype: torch.dtype, variant: str, batch: int
) -> Engine:
    """An engine of one bucket."""
    if variant not in ("fp32", "int8"):
        return Engine(model, device, dtype, variant=checked(variant), buckets=(batch,))
    engine = Engine(model, device, torch.float32, variant="lean", buckets=(batch,))
    if variant == "int8":
        runner = engine._runners[0]
        assert isinstance(runner, _DirectRunner)
        quantize_dynamic(runner._module, {torch.nn.Linear}, torch.qint8, inplace=True)
    return engine


def rows_of(
    name: str,
    shape: dict[str, Any],
    layout: str,
    variant: str,
    args: argparse.Namespace,
    speed: tuple[float, float],
) -> list[dict[str, Any]]:
    """Measurements of one model, layout and variant over the batch sizes, up to the first that
    fails.
    """
    device = torch.device(args.device)
    dtype = getattr(torch, args.dtype)
    torch._dynamo.reset()
    model = random_model(shape, layout, device, dtype)
    tokens = model.task.tokens(model.config)
    everything = random_inputs(model, max(args.batches))
    reference: np.ndarray | None = None
    rows = []
    for batch in args.batches:
        row: dict[str, Any] = {
            "model": name, "layers": shape["num_hidden_layers"], "layout": layout, "tokens": tokens,
            "variant": variant, "batch": batch,
        }  # fmt: skip
        try:
            started = time.perf_counter()
            if variant == "cache":
                assert isinstance(model.backbone, LlmBackbone)
                cached = CachedEngine(model.backbone.llm.to(dtype), batch, tokens)
                row |= {
                    "ready_s": time.perf_counter() - started,
                    **measure(cached.run, args.seconds),
                }
                row["floor_ms"] = 1e3 * floor_s(shape, 1, batch, speed)
            else:
                inputs = {name: values[:batch] for name, values in everything.items()}
                if reference is None:
                    eager = Engine(model, device, dtype, variant="eager", buckets=(batch,))
                    reference = eager.run({k: v[:1] for k, v in inputs.items()})
                engine = build(model, device, dtype, variant, batch)
                engine.warm_up()
                row["ready_s"] = time.perf_counter() - started
                row["difference"] = float(np.abs(engine.run(inputs)[0] - reference[0]))
                row |= measure(lambda: engine.run(inputs), args.seconds)  # noqa: B023 (called at once)
                row["floor_ms"] = 1e3 * floor_s(shape, tokens, batch, speed)
            row["decisions_per_s"] = batch * row.pop("per_s")
        except Exception as error:  # noqa: BLE001 (the other variants still count)
            traceback.print_exc()
            row["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            rows.append(row)
            break
        rows.append(row)
    return rows


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--models", default="smollm2-135m,qwen2.5-0.5b")
    parser.add_argument("--layouts", default="5 tokens", help=f"of {', '.join(LAYOUTS)}")
    parser.add_argument("--variants", help=f"of {VARIANTS}")
    parser.add_argument("--batches", help=f"default: {BATCHES}")
    parser.add_argument("--layers", help="keep so many blocks; several: 4,8,16,30")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each measurement")
    parser.add_argument(
        "--budget", type=float, default=3600.0, help="start nothing new after this many seconds"
    )
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path("engine.json"))
    args = parser.parse_args()
    kind = torch.device(args.device).type
    args.batches = (
        [int(batch) for batch in args.batches.split(",")] if args.batches else BATCHES[kind]
    )
    args.variants = args.variants.split(",") if args.variants else VARIANTS[kind]
    args.layers = [int(k) for k in args.layers.split(",")] if args.layers else [None]
    return args


def main() -> None:
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    speed = hardware(device, getattr(torch, args.dtype))
    cpu = f"CPU, {torch.get_num_threads()} threads"
    about = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "torch": torch.__version__,
        "dtype": args.dtype,
        "matmul_tflops": speed[0] / 1e12,
        "memory_gb_per_s": speed[1] / 1e9,
    }  # fmt: skip
    print(json.dumps(about))
    print(
        f"{'model':14} {'layers':>6} {'layout':20} {'variant':18} {'batch':>6} {'p50 ms':>8} "
        f"{'p99 ms':>8} "
        f"{'CPU ms':>8} {'floor ms':>8} {'decisions/s':>12} {'ready s':>8} {'|diff|':>8}"
    )
    results: list[dict[str, Any]] = []
    started = time.perf_counter()
    combinations = itertools.product(
        args.variants, args.models.split(","), args.layers, args.layouts.split(",")
    )
    for (
        variant,
        name,
        layers,
        layout,
    ) in combinations:  # the most telling first, should time run out
        shape = SHAPES[name] | ({"num_hidden_layers": layers} if layers else {})
        if time.perf_counter() - started > args.budget:
            print(f"out of time before {name}, {layout}, {variant}")
            continue
        if device.type == "cuda":
            torch.cuda.empty_cache()
        for row in rows_of(name, shape, layout, variant, args, speed):
            results.append(row)
            show(row)
        args.out.write_text(json.dumps({"about": about, "rows": results}, indent=1) + "\n")


def show(row: dict[str, Any]) -> None:
    """One line of the table."""
    head = (
        f"{row['model']:14} {row['layers']:6} {row['layout']:20} {row['variant']:18} "
        f"{row['batch']:6}"
    )
    if "error" in row:
        print(head, row["error"], flush=True)
    else:
        print(
            f"{head} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f} {row['cpu_ms']:8.2f} "
            f"{row['floor_ms']:8.3f} "
            f"{row['decisions_per_s']:12.0f} {row['ready_s']:8.1f} "
            f"{row.get('difference', float('nan')):8.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
