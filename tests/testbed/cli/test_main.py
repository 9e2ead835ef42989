"""How the command ends: what a user can mend is one line and status 2, all else is a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

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
    out = tmp_path / "league.parquet" / "out"
    assert told.startswith(f"tbtest: {out}: Not a directory; a part of the path is a file")
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


def test_a_library_of_the_extra_that_is_missing_is_one_line(status, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "policy.tasks.abr.training.__main__", raising=False)
    assert status("train", "--task", "abr", "--traces", "none", "--out", "x.safetensors") == 2
    told = capsys.readouterr().err
    assert told.startswith("tbtest: this needs torch: pip install 'tbtest[policy]'")
    assert told.count("\n") == 1


def test_the_help_gives_every_summary_whole():
    text = " ".join(CliRunner().invoke(testbed.cli.cli, ["--help"]).output.split())
    for name in testbed.cli.cli.list_commands(None):
        command = testbed.cli.cli.get_command(None, name)
        assert f"{name} {command.get_short_help_str(limit=1000)}" in text


def outcome(arguments, **changed):
    """Status, standard output and standard error of `tbtest` in a process of its own."""
    environment = {**os.environ, **changed}
    command = [sys.executable, "-m", "testbed", *arguments]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()


def test_a_full_disk_behind_standard_output_is_one_line():
    command = [sys.executable, "-m", "testbed", "traces", "list"]
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device, not a path of the project
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("tbtest: standard output: No space left on device")
    assert done.stderr.count("\n") == 1


def test_an_ascii_terminal_gets_spelled_characters():
    status, text, errors = outcome(
        ["traces", "show", "lte-driving"], LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii"
    )
    assert (status, errors) == (0, "")
    assert text.isascii()
    assert b"#" in text


def test_every_command_of_the_package_is_offered():
    """A group or command that a module defines under its own name can be called."""
    folder = Path(testbed.cli.__path__[0])
    names = {file.stem for file in folder.glob("*.py") if f"\ndef {file.stem}(" in file.read_text()}
    offered = set(testbed.cli.cli.list_commands(click.Context(testbed.cli.cli)))
    assert names <= offered
