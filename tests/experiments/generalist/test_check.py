"""A host that lacks something is told so in one line."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from click.testing import CliRunner

from experiments.generalist import check

pytestmark = pytest.mark.torch


def test_what_is_missing_stands_in_the_last_line(monkeypatch, tmp_path):
    def stages(options):
        yield "imports"
        yield "language model"
        raise ValueError("it\nis not there")

    monkeypatch.setattr(check, "stages", stages)
    said = CliRunner().invoke(check.main, [str(tmp_path), "--abr", "a", "--profiles", "p"])
    assert said.exit_code == 1
    last = said.output.splitlines()[-1]
    assert last.startswith("not ready: language model: ValueError: it is not there (")


def test_what_is_imported_is_there():
    for name in check.MODULES:
        assert (check.Path(check.__file__).parent / f"{name}.py").is_file()
    assert (check.SHIPPED / "config.json").is_file()
