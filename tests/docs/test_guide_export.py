"""The commands of the export guide, on a run made by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.cli import cli
from tests.analysis.synthetic import bulk_cell, write_run

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "export.md"


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
