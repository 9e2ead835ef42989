"""Kernels in the cache, and what stands in the way of building one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.errors import UserError
from testbed.virtual import config, kernel, source


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TBTEST_CACHE", str(tmp_path))
    return tmp_path / "kernels"


def keep(cache: Path, identity: str, version: str) -> Path:
    """A kernel in the cache, without the program itself."""
    folder = cache / kernel.cache_key(identity)
    folder.mkdir(parents=True)
    about = {
        "version": version,
        "source": identity,
        "configuration_sha256": config.configuration_sha256(),
        "build_s": 300.0,
    }
    (folder / "kernel.json").write_text(json.dumps(about))
    return folder


def test_the_newest_kernel_from_a_package_is_taken(cache: Path) -> None:
    keep(cache, "linux-source-6.9 6.9.1-1", "6.9.1")
    newest = keep(cache, "linux-source-6.12 6.12.117-1", "6.12.117")
    keep(cache, "/home/me/linux 1234", "7.0.0")
    found = kernel.cached()
    assert found is not None
    assert found.program == newest / "linux"
    assert kernel.ready(None, print) == found


def test_a_kernel_of_another_configuration_is_not_taken(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache, "linux-source-6.12 6.12.117-1", "6.12.117")
    monkeypatch.setattr(config, "HZ", 1000)
    assert kernel.cached() is None


def test_a_broken_entry_is_as_good_as_none(cache: Path) -> None:
    folder = keep(cache, "linux-source-6.12 6.12.117-1", "6.12.117")
    (folder / "kernel.json").write_text("{")
    assert kernel.cached() is None


def test_the_key_tells_sources_apart() -> None:
    assert kernel.cache_key("a") == kernel.cache_key("a")
    assert kernel.cache_key("a") != kernel.cache_key("b")


def test_a_folder_without_a_kernel_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--kernel-source {tmp_path}: no source of a Linux kernel"):
        kernel.ready(tmp_path, print)


def test_a_tree_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "arch/um").mkdir(parents=True)
    file = tmp_path / "arch/um/Kconfig"
    file.write_text("config UML\n")
    before = source.tree(tmp_path)
    assert before.unpack(Path("/nowhere")) == tmp_path
    assert source.tree(tmp_path).identity == before.identity
    file.write_text("config UML \n")
    assert source.tree(tmp_path).identity != before.identity


def test_a_tree_that_was_built_in_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arch/um").mkdir(parents=True)
    (tmp_path / "arch/um/Kconfig").write_text("")
    (tmp_path / ".config").write_text("")
    with pytest.raises(UserError, match="make mrproper"):
        source.tree(tmp_path)


def test_missing_tools_are_named_with_their_packages(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "arch/um").mkdir(parents=True)
    (tmp_path / "arch/um/Kconfig").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"apt-get install make gcc flex bison bc binutils xz"):
        kernel.ready(tmp_path, print)


def test_what_a_killed_build_left_is_removed_by_the_next_one(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep(cache, "linux-source-6.12 6.12.117-1", "6.12.117")
    stale = cache / "build-abc" / "built"
    stale.mkdir(parents=True)
    (tmp_path / "arch/um").mkdir(parents=True)
    (tmp_path / "arch/um/Kconfig").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs more programs"):
        kernel.ready(tmp_path, print)
    assert not stale.parent.exists()
    assert kept.exists()
