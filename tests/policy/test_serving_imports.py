"""Serving a bundled model imports neither PyTorch nor what only training needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("onnxruntime")

_SERVES = """
import sys
from policy.api import PolicyContext
from policy.registry import create
import policy.worker.__main__
create("mlp", PolicyContext(4, None, "cpu"))
heavy = {"torch", "transformers", "peft", "numba", "pandas", "pyarrow", "onnx"} & set(sys.modules)
print(sorted(heavy))
"""


def test_a_worker_of_a_bundled_model_stays_light() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", _SERVES], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_server_starts_its_models_before_it_loads_compiled_loops() -> None:
    program = (
        "import sys, policy.__main__; print(sorted({'numba', 'torch', 'grpc'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
