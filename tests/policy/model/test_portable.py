"""The portable engine alone, on a small model written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy.model import info, portable
from policy.model.errors import ModelError
from policy.model.portable import LARGEST_BATCH, PortableEngine

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="session")
def bundled_gru() -> Path:
    record = info.read_info(info.resolve("gru")).portable
    assert record is not None
    return info.resolve("gru") / record.file


def arrays(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    return {
        "windows": rng.uniform(0, 1e6, (n, 20, 22)),
        "valid": np.ones((n, 20)),
        "bandwidth_bps": np.full(n, 5e6),
        "min_rtt_ns": np.full(n, 4e7),
        "mss_bytes": np.full(n, 1448.0),
        "objective": np.full(n, 0.5),
    }


@pytest.mark.parametrize("n", [0, 1, LARGEST_BATCH + 3])
def test_any_number_of_samples(bundled_gru: Path, n: int) -> None:
    engine = PortableEngine(bundled_gru)
    engine.warm_up()
    output = engine.run(arrays(n))
    assert output.shape == (n,)
    assert (np.abs(output) < 1).all()


def test_company_does_not_matter(bundled_gru: Path) -> None:
    engine = PortableEngine(bundled_gru)
    inputs = arrays(70)
    alone = engine.run({name: value[66:67] for name, value in inputs.items()})
    np.testing.assert_allclose(engine.run(inputs)[66:67], alone, atol=1e-5)


def test_inputs_that_do_not_fit_are_named(bundled_gru: Path) -> None:
    engine = PortableEngine(bundled_gru)
    inputs = arrays(2)
    with pytest.raises(ValueError, match=r"'windows' has shape \(19, 22\), expected \(20, 22\)"):
        engine.run(inputs | {"windows": inputs["windows"][:, 1:]})
    del inputs["valid"]
    with pytest.raises(ValueError, match="'valid' is missing"):
        engine.run(inputs)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "portable.onnx"
    file.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"portable\.onnx cannot be run: ") as caught:
        PortableEngine(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "products"),
    [("fpu avx2 fma", "float32"), ("fpu avx2 avx512_vnni", "int8"), ("fp asimddp", "int8")],
)
def test_products_by_the_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, products: str
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"flags : {flags}\n")
    monkeypatch.setattr(portable, "_CPU", file)
    assert portable.best_products() == products
    file.unlink()
    assert portable.best_products() == "float32"
