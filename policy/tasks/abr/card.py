"""What a checkpoint for adaptive bitrate streaming says of itself, as Markdown."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from policy.errors import PolicyError

_NETWORKS = {
    "mlp": "a network without memory that scores each level with shared weights",
    "gru": "the same with a recurrent network over the histories",
    "committee": "several of these as one, which score by the mean of their opinions",
    "llm": "NIOKA: a frozen language model with adapters, a token for each level",
}
_SHOWN = {
    "width": "width",
    "members": "members, kind and width",
    "layers": "blocks of the language model",
    "pretrained": "pretrained weights",
    "fingerprint": "frozen weights",
    "method": "method",
    "objective": "objective",
    "target": "return asked for",
    "traces": "traces",
    "videos": "videos",
    "drawn": "random ladders a round",
    "evened": "copies evened over",
    "planned": "reads what plans promise",
    "dataset": "dataset",
    "networks": "played beside the rules",
    "sessions": "sessions",
    "horizon": "chunks rolled out",
    "test": "held against test sets",
    "overlap": "recordings shared with them",
    "seed": "seed",
    "validation": "validation, over the top utility",
}


def card(path: Path) -> str:
    """The card. Raises PolicyError for a file that is no such checkpoint."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            settings = file.metadata() or {}
            sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise PolicyError(f"{path}: cannot be read as safetensors: {error}") from None
    if settings.get("task") != "abr" or settings.get("kind") not in _NETWORKS:
        raise PolicyError(f"{path}: not a checkpoint for adaptive bitrate streaming")
    learned = 0
    for shape in sizes:
        count = 1
        for size in shape:
            count *= size
        learned += count
    rows = [
        ("file", f"{path.stat().st_size / 1e6:.1f} MB, {learned:,} learned numbers"),
        ("SHA-256", hashlib.sha256(path.read_bytes()).hexdigest()),
    ]
    rows += [(title, settings[key]) for key, title in _SHOWN.items() if settings.get(key)]
    portable = path.with_suffix(".onnx")
    if portable.is_file():
        numbers = "int8" if settings["kind"] == "llm" else "float32"
        size_mb = portable.stat().st_size / 1e6
        rows.append(("for CPUs", f"{portable.name}, {size_mb:.1f} MB, {numbers}"))
    lines = [f"# {path.name}", "", f"{settings['kind']}: {_NETWORKS[settings['kind']]}.", ""]
    lines += ["| | |", "|---|---|", *(f"| {title} | {value} |" for title, value in rows)]
    return "\n".join(lines) + "\n"
