from __future__ import annotations

import numpy as np
import pytest
import torch

from policy.model.engine import Engine, default_engine
from policy.model.model import PolicyModel
from policy.model.packed import PackedLinear, packable
from policy.model.packing import Packing
from policy.tasks.base import ArraySpec, InputSpec

pytestmark = pytest.mark.torch


def test_packing_round_trip():
    packing = Packing(
        InputSpec(
            (
                ArraySpec("a", (2, 3)),
                ArraySpec("b"),
                ArraySpec("c", (4,), "int64"),
                ArraySpec("d", (2,), "bool"),
            )
        )
    )
    rng = np.random.default_rng(0)
    inputs = {
        "a": rng.random((5, 2, 3)).astype(np.float32),
        "b": rng.random(5).astype(np.float32),
        "c": rng.integers(-(2**24), 2**24, (5, 4)),
        "d": rng.random((5, 2)) < 0.5,
    }
    rows = np.zeros((8, packing.width), np.float32)
    packing.fill(rows, inputs, 1, 3)
    parts = packing.split(torch.from_numpy(rows))
    for name, values in inputs.items():
        np.testing.assert_array_equal(parts[name][:3].numpy(), values[1:4])
    assert packing.width == 13


def test_packing_refuses_other_shapes():
    packing = Packing(InputSpec((ArraySpec("a", (2,)),)))
    with pytest.raises(ValueError, match="'a' has shape"):
        packing.fill(np.zeros((4, 2), np.float32), {"a": np.zeros((4, 3))}, 0, 4)


@pytest.mark.parametrize("kind", ["nioka", "gru"])
@pytest.mark.parametrize("variant", ["eager", "lean"])
@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_same_as_the_model_for_any_batch(tiny, inputs, kind, variant, count):
    config = tiny(kind=kind)
    model = PolicyModel(config).eval()
    arrays = inputs(config, count)
    with torch.no_grad():
        expected = model({name: torch.from_numpy(value) for name, value in arrays.items()}).numpy()
    engine = Engine(model, "cpu", torch.float32, variant=variant, buckets=(2, 4))
    engine.warm_up()
    np.testing.assert_allclose(engine.run(arrays), expected, atol=1e-5)


def test_empty_batch(tiny, inputs):
    config = tiny(kind="mlp")
    engine = Engine(PolicyModel(config), "cpu", torch.float32, variant="lean")
    assert engine.run(inputs(config, 0)).shape == (0,)


def test_results_outlive_the_next_call(tiny, inputs):
    config = tiny(kind="mlp")
    engine = Engine(PolicyModel(config), "cpu", torch.float32, variant="lean")
    first = engine.run(inputs(config, 2, seed=1))
    kept = first.copy()
    engine.run(inputs(config, 2, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_default_engine_on_cpu_is_close_to_float32(tiny, inputs):
    config = tiny()
    model = PolicyModel(config).eval()
    arrays = inputs(config, 6)
    with torch.no_grad():
        expected = model({name: torch.from_numpy(value) for name, value in arrays.items()}).numpy()
    np.testing.assert_allclose(default_engine(model, "cpu").run(arrays), expected, atol=0.05)


def test_packed_linear_is_the_linear():
    if not packable(torch.bfloat16):
        pytest.skip("this processor or PyTorch does not multiply packed bfloat16")
    for bias in (True, False):
        linear = torch.nn.Linear(48, 32, bias=bias).bfloat16()
        x = torch.randn(3, 5, 48).bfloat16()
        with torch.inference_mode():
            torch.testing.assert_close(PackedLinear(linear, 5)(x), linear(x))


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("variant", ["graph", "compile", "compile-broadcast"])
def test_cuda_variants_agree_with_the_model(tiny, inputs, variant):
    config = tiny()
    model = PolicyModel(config).eval()
    arrays = inputs(config, 9)
    with torch.no_grad():
        expected = model({name: torch.from_numpy(value) for name, value in arrays.items()}).numpy()
    engine = Engine(model, "cuda", torch.float32, variant=variant, buckets=(1, 4))
    np.testing.assert_allclose(engine.run(arrays), expected, atol=1e-3)
