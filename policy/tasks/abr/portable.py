"""A trained network as a policy without PyTorch: its exported file under ONNX Runtime.

The file is `NAME.onnx` beside `NAME.safetensors` (`policy.tasks.abr.export` writes it) and names
the checkpoint that it was made of by hash, so that neither answers for the other.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError
from policy.model.portable import PortableEngine
from policy.model.weights import sha256
from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.observation import observe
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.session import Sessions

SUFFIX = ".onnx"
MADE_OF = "checkpoint_sha256"
"""The key of the file's own words under which it names its checkpoint."""


class Portable(Stateless):
    """Takes the level of the highest score."""

    def __init__(self, engine: PortableEngine) -> None:
        self._engine = engine

    def decide(self, sessions: Sessions) -> Ints:
        levels: Ints = self.scores(sessions).argmax(axis=1)
        return levels

    def scores(self, sessions: Sessions) -> NDArray[np.float32]:
        """One score a level [n, levels]."""
        shared, by_level = observe(sessions)
        return self._engine.run({"shared": shared, "by_level": by_level})


def load_portable(checkpoint: Path) -> Portable | None:
    """The exported file of a checkpoint as a policy; None where there is no such file, or no ONNX
    Runtime. Raises PolicyError for a file that was made of another checkpoint.
    """
    file = checkpoint.with_suffix(SUFFIX)
    if not file.is_file() or find_spec("onnxruntime") is None:
        return None
    engine = PortableEngine(file)
    try:
        made_of = sha256(checkpoint)
    except OSError as error:
        raise PolicyError(f"{checkpoint}: cannot be read: {error.strerror}") from None
    if engine.metadata.get(MADE_OF) != made_of:
        raise PolicyError(
            f"{file}: made of another checkpoint; make it again: tbtest models export {checkpoint}"
        )
    return Portable(engine)
