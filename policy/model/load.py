"""A checkpoint becomes a policy: by its portable file under ONNX Runtime, or by PyTorch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from policy.model.errors import ModelError
from policy.model.info import CheckpointInfo, read_info, resolve
from policy.model.policy import KINDS, Engine, ModelPolicy
from policy.model.portable import PortableEngine
from policy.model.weights import cache_root

VARIANT = "TBTEST_ENGINE"
"""Environment variable: how the LLM's engine runs, instead of the default: `portable`, or a
`policy.model.engine.Variant`.
"""
PORTABLE = "portable"
_GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


def load_policy(
    name: str,
    checkpoint_path: str | Path | None = None,
    device: str = "auto",
    task: str | None = None,
) -> ModelPolicy:
    """The model policy `name` ("llm", "gru", "mlp", "transformer"), loaded and warmed up.

    Args:
        checkpoint_path: folder or bundled name; by default the bundled checkpoint of that name.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        task: what the checkpoint must be for; None: any task.

    Raises:
        ModelError: no such policy, checkpoint or engine variant, or the checkpoint is of another
            kind or task.
    """
    if name not in KINDS:
        raise ModelError(f"no model policy {name!r}; known: {', '.join(KINDS)}")
    folder = resolve(checkpoint_path or name)
    info = read_info(folder, task)
    if info.model.kind != KINDS[name]:
        raise ModelError(
            f"{folder} holds a {info.model.kind} model; policy {name!r} needs {KINDS[name]}"
        )
    return _started(name, info, device)


def load_model(
    folder: Path, device: str = "auto", task: str | None = None, threads: int | None = None
) -> ModelPolicy:
    """The policy of a checkpoint of any kind, loaded and warmed up. threads: of a portable file,
    half of the cores if None. Raises ModelError.
    """
    info = read_info(folder, task)
    names = {kind: name for name, kind in KINDS.items()}
    return _started(names.get(info.model.kind, info.model.kind), info, device, threads)


def load_models(folder: Path, tasks: Sequence[str], device: str = "auto") -> list[ModelPolicy]:
    """The policies of several tasks of one checkpoint for one process: by its portable files where
    one task alone would be, else around one set of weights by PyTorch. Raises ModelError.
    """
    variant = os.environ.get(VARIANT)
    portable = all(read_info(folder, task).portable is not None for task in tasks)
    here = find_spec("onnxruntime") is not None and not _on_cuda(device)
    if portable and here and variant in (None, PORTABLE):
        return [load_model(folder, device, task) for task in tasks]
    try:
        from policy.model.joint_policy import load_policies
    except ImportError as error:
        raise ModelError(
            f"{folder} is to be run by PyTorch, which is not here ({error}); install the extra: "
            "pip install 'tbtest[policy]'"
        ) from None
    known = load_policies(folder, device, None if variant == PORTABLE else variant)
    return [known[task] for task in tasks]


def _started(
    name: str, info: CheckpointInfo, device: str, threads: int | None = None
) -> ModelPolicy:
    engine = _engine(info, device, threads)
    engine.warm_up()
    return ModelPolicy(name, engine, info)


def _engine(info: CheckpointInfo, device: str, threads: int | None = None) -> Engine:
    """The engine for the device. PyTorch is imported only where it is to run the model."""
    variant = os.environ.get(VARIANT) if info.model.kind == "nioka" else None
    if variant in (None, PORTABLE) and not _on_cuda(device):
        # Whoever has PyTorch but not ONNX Runtime gets the same answers, later.
        alone = find_spec("torch") is None or variant == PORTABLE
        if info.portable is not None and (alone or find_spec("onnxruntime")):
            return PortableEngine(info.folder / info.portable.file, threads=threads)
        if variant == PORTABLE:
            raise ModelError(
                f"{info.folder} has no portable file; make it: tbtest models export {info.folder}"
            )
    return _torch_engine(info, device, variant)


def _on_cuda(device: str) -> bool:
    """Whether the model is to run on a GPU; auto: where there is one that PyTorch can use."""
    if device != "auto":
        return device.startswith("cuda")
    if not any(path.exists() for path in _GPU_DEVICES) or find_spec("torch") is None:
        return False
    from policy.model.engine import resolve_device

    return resolve_device(device) == "cuda"


def _torch_engine(info: CheckpointInfo, device: str, variant: str | None) -> Engine:
    # Where the compiler keeps its results, unless its own variable says so; loading a model would
    # settle it otherwise.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_root() / "compiled"))
    try:
        from policy.model import checkpoint
        from policy.model.engine import best_variant, checked, make_engine, resolve_device
    except ImportError as error:
        raise ModelError(
            f"{info.folder} is to be run by PyTorch, which is not here ({error}); install the "
            "extra: pip install 'tbtest[policy]'"
        ) from None
    model, _ = checkpoint.load(info.folder, task=info.model.task)
    device = resolve_device(device)
    return make_engine(model, device, checked(variant) if variant else best_variant(model, device))
