"""How the command ends: what a user can mend is one line and status 2, all else is a traceback."""

from __future__ import annotations

import sys

import click
import pyarrow.parquet as pq
import pytest

import testbed.cli
from analysis.league.table import to_table
from testbed.cli import main
from tests.analysis.league.rows import row


@pytest.fixture
def status(monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tbtest", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return run


def test_an_out_that_cannot_be_is_named(status, tmp_path, capsys):
    pq.write_table(to_table([row("a1", "bbr")]), tmp_path / "league.parquet")
    assert status("league", "--pool", tmp_path, "--out", tmp_path / "league.parquet" / "out") == 2
    told = capsys.readouterr().err
    assert told.startswith(
        f"tbtest: {tmp_path / 'league.parquet' / 'out'}: Not a directory; is it the right path"
    )
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "error", [OSError("of no file"), ValueError("not ours"), RuntimeError("a bug")]
)
def test_what_a_user_cannot_mend_is_raised(monkeypatch, error):
    def failing(**options):
        raise error

    monkeypatch.setattr(testbed.cli, "cli", click.Command("tbtest", callback=failing))
    monkeypatch.setattr(sys, "argv", ["tbtest"])
    with pytest.raises(type(error)):
        main()
