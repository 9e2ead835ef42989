"""The pack for a host without network: what it copies, and its parts' way back."""

from __future__ import annotations

import subprocess
from importlib import metadata

import click
import pytest

from scripts import offline_pack


def test_a_copied_package_is_found_by_its_metadata(tmp_path):
    offline_pack.copy_package("click", tmp_path)
    (found,) = metadata.distributions(name="click", path=[str(tmp_path)])
    assert found.version == metadata.version("click")
    assert (tmp_path / "click" / "__init__.py").is_file()
    assert any(file.hash for file in found.files or [])  # RECORD, which holds the weights' hash


def test_a_package_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(click.ClickException, match="no-such-thing is not installed"):
        offline_pack.copy_package("no-such-thing", tmp_path)


def unpack(out, folder):
    command = ["sh", out / "unpack.sh", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_parts_are_joined_again_and_say_what_comes_next(tmp_path):
    given, out, host = (tmp_path / name for name in ("given", "out dir", "host"))
    (given / "data").mkdir(parents=True)
    noise = bytes(range(256)) * 4 + bytes(tmp_path.name * 7, "utf8")
    (given / "data" / "samples").write_bytes(noise)
    out.mkdir()
    offline_pack.write_parts(given, out, 30)
    said = unpack(out, host)
    assert said.returncode == 0, said.stderr
    assert (host / "data" / "samples").read_bytes() == noise
    assert f"PYTHONPATH={host}/tree:{host}/site" in said.stdout
    assert "experiments.generalist.check" in said.stdout


def test_a_damaged_part_is_refused(tmp_path):
    given, out, host = (tmp_path / name for name in ("given", "out", "host"))
    given.mkdir()
    out.mkdir()
    (given / "samples").write_text("samples")
    offline_pack.write_parts(given, out, 30)
    (part,) = out.glob("pack.tar.gz.*")
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    said = unpack(out, host)
    assert said.returncode != 0
    assert part.name in said.stdout
    assert not list(host.iterdir())
