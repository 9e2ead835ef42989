"""Portable files against PyTorch in float32."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from policy.api import PolicyContext
from policy.model import info
from policy.model.policy import ModelPolicy
from policy.model.portable import PortableEngine
from policy.registry import create
from policy.tasks.congestion.policies.gcc import Gcc
from policy.tasks.congestion.simulator import Links, PolicyController, simulate
from policy.tasks.congestion.task import fit_history

pytestmark = pytest.mark.torch
pytest.importorskip("onnxruntime")


class Recording:
    """A rule policy that keeps every batch it decides on."""

    name = "gcc"

    def __init__(self, flows: int) -> None:
        self._inner = Gcc(PolicyContext(flows))
        self.batches: list = []

    def decide(self, batch, now_ns):
        self.batches.append(batch.only(np.arange(len(batch))))
        return self._inner.decide(batch, now_ns)

    def forget(self, flows):
        self._inner.forget(flows)


@pytest.fixture(scope="session")
def windows():
    """Inputs of the models as flows on links of varying capacity give them."""
    n, steps = 8, 4000
    rng = np.random.default_rng(0)
    capacity = np.repeat(rng.lognormal(np.log(5e6), 0.8, (steps // 250, n)), 250, axis=0)
    policy = Recording(n)
    links = Links(capacity, rng.integers(10, 80, n), rng.uniform(3e4, 3e5, n))
    simulate(links, PolicyController(policy, n))
    newest = [fit_history(batch.windows, batch.valid, 20) for batch in policy.batches]
    inputs = {
        "windows": np.concatenate([rows for rows, _ in newest]),
        "valid": np.concatenate([valid for _, valid in newest]).astype(np.float32),
    }
    for name in ("bandwidth_bps", "min_rtt_ns", "mss_bytes"):
        inputs[name] = np.concatenate([getattr(batch, name) for batch in policy.batches])
    inputs["objective"] = np.linspace(0.0, 1.0, len(inputs["valid"]))
    return inputs


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "products", "most", "mean"),
    [
        ("gru", "float32", 1e-3, 1e-5),
        ("mlp", "float32", 1e-3, 1e-5),
        ("transformer", "float32", 1e-3, 1e-5),
        ("llm", "float32", 0.2, 0.02),
        ("llm", "int8", 0.3, 0.03),
    ],
)
def test_bundled_files_answer_as_pytorch_does(windows, name, products, most, mean):
    from policy.model import checkpoint
    from policy.model.engine import make_engine

    folder = info.resolve(name)
    model, record = checkpoint.load(folder)
    assert record.portable is not None
    expected = make_engine(model, "cpu", "lean").run(windows)
    found = PortableEngine(folder / record.portable.file, products=products).run(windows)
    assert len(found) > 200
    assert np.abs(found - expected).max() < most
    assert np.abs(found - expected).mean() < mean


def test_blocks_are_to_the_nearest_and_packed_as_onnx_reads_them():
    onnx = pytest.importorskip("onnx")
    from policy.model.export import BLOCK, _packed, blocks

    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((2 * BLOCK, 6)).astype(np.float32)
    for bits in (8, 4):
        values, scales = blocks(matrix, bits)
        assert np.abs(values).max() == 2 ** (bits - 1) - 1
        error = np.abs(values * np.repeat(scales, BLOCK, axis=0) - matrix)
        assert (error <= np.repeat(scales, BLOCK, axis=0) / 2 + 1e-7).all()
        kind = {8: onnx.TensorProto.INT8, 4: onnx.TensorProto.INT4}[bits]
        stored = onnx.helper.make_tensor("m", kind, values.shape, _packed(values, bits), raw=True)
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored).astype(np.int8), values)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_export_enters_the_file_and_the_tier_uses_it(gru: Path, tmp_path: Path):
    import shutil

    pytest.importorskip("onnxscript")
    from policy.model.export import export

    folder = shutil.copytree(gru, tmp_path / "gru")
    before = create("gru", PolicyContext(4, folder, "cpu"))
    (record,) = export(folder)
    assert json.loads((folder / "config.json").read_text())["portable"] == record.model_dump()
    assert record.sha256 in (folder / "README.md").read_text()
    after = create("gru", PolicyContext(4, folder, "cpu"))
    assert isinstance(after, ModelPolicy)
    assert isinstance(before, ModelPolicy)
    assert isinstance(after._engine, PortableEngine)
    assert not isinstance(before._engine, PortableEngine)
    (folder / record.file).write_bytes(b"")
    with pytest.raises(ValueError, match=r"missing or damaged; .* tbtest models export"):
        info.read_info(folder)
    assert info.read_info(folder, portable=False).portable == record  # what an export begins with
