"""The LLM on a CPU under each engine: latency, memory, start-up, and how far its answers move.

    python bench/engine_cpu.py --out /tmp/engine-cpu
    PYTHONPATH=/tmp/openvino python bench/engine_cpu.py ...   # pip install --target: its rows too

Needs the `policy` extra. Each engine runs in a process of its own. The windows are those of rule
policies in the simulator on the bundled traces; answers are compared with PyTorch in float32.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

# Run from a clone that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policy.api import FlowBatch, PolicyContext
from policy.model.info import read_info, resolve
from policy.registry import create

ENGINES = (
    "torch float32",
    "onnxruntime float32",
    "onnxruntime int8",
    "onnxruntime int8, unfolded",
    "onnxruntime int4",
    "openvino float32",
    "openvino int8",
)
BATCHES = (1, 4, 16)
RULES = ("gcc", "bbr-lite", "persistence")


class Recording:
    """A rule policy that keeps the batches it decides on."""

    def __init__(self, name: str, flows: int) -> None:
        self.name = name
        self.batches: list[FlowBatch] = []
        self._inner = create(name, PolicyContext(flows))

    def decide(self, batch: FlowBatch, now_ns: int) -> Any:
        self.batches.append(batch.only(np.arange(len(batch))))
        return self._inner.decide(batch, now_ns)

    def forget(self, flows: Any) -> None:
        self._inner.forget(flows)


def record(file: Path, count: int) -> None:
    """Write the model inputs of `count` windows of simulated flows."""
    from policy.tasks.congestion.simulator import Links, PolicyController, simulate
    from policy.tasks.registry import learned_task
    from traces.bundled import index
    from traces.library import load

    names = sorted(index())
    windows = count // (len(names) * len(RULES)) + 1
    steps = windows * 100  # of 1 ms
    rng = np.random.default_rng(0)
    edges_ns = np.arange(steps + 1, dtype=np.int64) * 1_000_000
    capacity = np.stack(
        [load(name).capacity_bytes(edges_ns[:-1], edges_ns[1:]) * 8e3 for name in names], axis=1
    )
    flows = len(names)
    info = read_info(resolve("llm"))
    task = learned_task(info.model.task)
    parts = []
    for name in RULES:
        rtt_ms = rng.integers(10, 120, flows)
        links = Links(capacity, rtt_ms, capacity.mean(0) / 8e3 * rtt_ms * 4 + 3e4)
        policy = Recording(name, flows)
        simulate(links, PolicyController(policy, flows))
        parts += [task.model_inputs(batch, info.model, None) for batch in policy.batches]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    chosen = rng.permutation(len(arrays["windows"]))[:count]
    np.savez(file, **{name: values[chosen] for name, values in arrays.items()})


def exported(out: Path) -> None:
    """The float32 and int4 files; the int8 file is the shipped one."""
    from policy.model import checkpoint, export

    if not (out / "int4.onnx").exists():
        proto = export.onnx_of(checkpoint.load(resolve("llm"))[0])
        export.save(proto, out / "float32.onnx", bits=None)
        export.save(proto, out / "int4.onnx", bits=4)


def engine(name: str, out: Path, threads: int) -> tuple[Any, int]:
    """(a function from inputs to outputs, bytes of the model's file)."""
    shipped = resolve("llm")
    if name.startswith("torch"):
        import torch

        from policy.model import checkpoint
        from policy.model.engine import make_engine

        made = make_engine(checkpoint.load(shipped)[0], "cpu", "lean")
        torch.set_num_threads(threads)
        return made.run, 0
    library, _, kind = name.partition(" ")
    info = read_info(shipped)
    assert info.portable is not None
    file = shipped / info.portable.file if "int8" in kind else out / f"{kind}.onnx"
    if library == "onnxruntime":
        from policy.model.portable import PortableEngine

        products = "int8" if kind in ("int8", "int4") else "float32"
        return PortableEngine(file, products=products, threads=threads).run, file.stat().st_size
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(file, "CPU", settings).create_infer_request()

    def run(inputs: Any) -> Any:
        return request.infer(inputs)[0].copy()

    return run, file.stat().st_size


def measure(name: str, out: Path, threads: int, seconds: float) -> dict[str, Any]:
    """One row; run in a fresh process."""
    inputs = {key: value.astype(np.float32) for key, value in np.load(out / "windows.npz").items()}
    before = time.perf_counter()
    run, size = engine(name, out, threads)
    row: dict[str, Any] = {"engine": name, "threads": threads, "file_mb": size / 1e6}
    row["load_s"] = time.perf_counter() - before
    for batch in BATCHES:
        part = {key: value[:batch] for key, value in inputs.items()}
        run(part)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < 20 or time.perf_counter() < end:
            start = time.perf_counter()
            run(part)
            times.append((time.perf_counter() - start) * 1e3)
        row[f"batch_{batch}"] = [min(times), *np.percentile(times, [50, 99])]
    status = Path("/proc/self/status").read_text().split()
    row["resident_mb"] = int(status[status.index("VmRSS:") + 1]) / 1e3
    if threads == 1:
        size = 64
        answers = np.concatenate(
            [
                run({key: value[start : start + size] for key, value in inputs.items()})
                for start in range(0, len(inputs["valid"]), size)
            ]
        )
        if name.startswith("torch"):
            np.save(out / "reference.npy", answers)
        moved = np.abs(answers - np.load(out / "reference.npy"))
        row["moved"] = [moved.mean(), *np.percentile(moved, [99, 100])]
    return row


def show(row: dict[str, Any]) -> None:
    """A line of the table."""
    cells = [row["engine"], str(row["threads"]), f"{row['file_mb']:.1f}", f"{row['load_s']:.1f}"]
    cells.append(f"{row['resident_mb']:.0f}")
    cells += [" / ".join(f"{value:.1f}" for value in row[f"batch_{batch}"]) for batch in BATCHES]
    cells.append(" / ".join(f"{value:.4f}" for value in row.get("moved", [])))
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("engine-cpu"), help="folder for files")
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each latency")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--engines", default=";".join(ENGINES))
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "THREADS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.one:
        name, threads = args.one
        print(json.dumps(measure(name, args.out, int(threads), args.seconds), default=float))
        return
    if not (args.out / "windows.npz").exists():
        record(args.out / "windows.npz", args.windows)
    engines = [name for name in args.engines.split(";") if find_spec(name.split()[0])]
    for library in dict.fromkeys(name.split()[0] for name in engines):
        files = metadata.files(library) or []
        installed = sum(file.size or 0 for file in files) / 1e6
        print(f"{library} {metadata.version(library)}: {installed:.0f} MB installed")
    if {"onnxruntime float32", "onnxruntime int4", "openvino float32"} & set(engines):
        exported(args.out)
    head = ["engine", "threads", "file MB", "load s", "resident MB"]
    head += [f"batch {batch}: least / p50 / p99 ms" for batch in BATCHES]
    print(f"| {' | '.join(head)} | moved: mean / p99 / most |")
    print("|---|" + "---:|" * 8)
    rows = []
    for threads in args.threads.split(","):
        for name in engines:
            command = [sys.executable, __file__, "--out", args.out, "--seconds", args.seconds]
            done = subprocess.run(
                [*map(str, command), "--one", name, threads], capture_output=True, text=True
            )
            if done.returncode:
                print(f"| {name} | {threads} | {done.stderr.strip().splitlines()[-1][:200]} |")
                continue
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            show(rows[-1])
            (args.out / "engine-cpu.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
