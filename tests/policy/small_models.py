"""Small random models; real weights are only needed by the test marked slow."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

ARCHITECTURES = {
    "qwen2": {
        "model_type": "qwen2",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 16,
    },
    "llama": {
        "model_type": "llama",
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "head_dim": 8,
        "vocab_size": 16,
    },
}


@pytest.fixture
def tiny():
    """Makes a model configuration on a tiny random Qwen2; keywords change the configuration."""
    from policy.model.config import BackboneConfig, ModelConfig

    def make(**changes):
        backbone = changes.pop("backbone", {})
        return ModelConfig(
            **{"control": {"hidden": 16, "layers": 2, "heads": 2}, "encoder": {"channels": 4}}
            | changes,
            backbone=BackboneConfig(**{"architecture": ARCHITECTURES["qwen2"]} | backbone),
        )

    return make


@pytest.fixture
def inputs():
    """Makes plausible random inputs of a model: (config, n) -> arrays."""
    from policy.tasks.congestion.features import FIELD_INDEX
    from policy.tasks.registry import learned_task

    def make(config, n, seed=0):
        rng = np.random.default_rng(seed)
        shapes = learned_task(config.task).inputs(config).shapes
        arrays = {name: rng.uniform(0, 1, (n, *shape)) for name, shape in shapes.items()}
        arrays["valid"] = np.ones(arrays["valid"].shape)
        arrays["bandwidth_bps"] = rng.uniform(1e6, 1e8, n)
        arrays["min_rtt_ns"] = rng.uniform(1e7, 1e8, n)
        arrays["mss_bytes"] = np.full(n, 1448.0)
        for name, column in FIELD_INDEX.items():
            if name.endswith("_bps"):
                arrays["windows"][..., column] *= 1e8
            elif name.endswith("_ns"):
                arrays["windows"][..., column] = 1e7 + 1e8 * arrays["windows"][..., column]
            elif name.endswith("_bytes"):
                arrays["windows"][..., column] *= 1e6
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    return make


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Products this small only lose by threads, above all on a busy machine."""
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
