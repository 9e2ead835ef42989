"""Without PyTorch the model's tests cannot be imported."""

from __future__ import annotations

from importlib.util import find_spec

_MODEL = [
    "test_model_policy.py",
    "test_encoder.py",
    "test_features.py",
    "test_head.py",
    "test_dataset.py",
    "test_labels.py",
    "test_schema.py",
]
collect_ignore = [] if find_spec("torch") else _MODEL
