"""The commands of the export guide, on a run made by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.cli import cli
from tests.analysis.synthetic import bulk_cell, write_run
from tests.docs.pages import GUIDE, blocks

PAGE = GUIDE / "export.md"


@pytest.mark.parametrize(
    "form", re.findall(r"^tbtest export RUN --format (\w+)$", PAGE.read_text(), re.M)
)
def test_each_command_writes_into_the_run_folder(tmp_path: Path, form: str) -> None:
    run = write_run(tmp_path / "run", [bulk_cell("bbr", 6, 5)])
    result = CliRunner().invoke(cli, ["export", str(run), "--format", form])
    if form == "pcapng":  # the hand-made log has no addresses
        assert "run again" in str(result.exception)
        return
    assert result.exit_code == 0
    assert Path(result.output.strip()).exists()
    assert Path(result.output.strip()).parent == run / "export"


def test_the_python_reads_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = blocks(PAGE, "python")
    (name,) = re.findall(r"runs/[\w-]+", block)
    (tmp_path / "runs").mkdir()
    write_run(tmp_path / name, [bulk_cell("bbr", 6, 5)])
    monkeypatch.chdir(tmp_path)
    exec(block, {})
