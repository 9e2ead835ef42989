"""The example of a trace format runs as its docstring says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.cli.run import run
from testbed.cli.traces import traces
from traces import TraceError, load

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_trace_format.py"
FORMAT = f"{EXAMPLE}:KilobytesPerSecond"


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    path = tmp_path / "drive.kb"
    path.write_text("500\n750\n250\n")
    return path


def test_the_commands_of_its_docstring(drive: Path) -> None:
    shown = CliRunner().invoke(traces, ["show", str(drive), "--from", FORMAT, "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["mean_mbps"] == pytest.approx(4.0)
    printed = CliRunner().invoke(
        run, ["--trace", str(drive), "--trace-format", FORMAT, "--print-scenario"]
    )
    assert printed.exit_code == 0, printed.output
    assert f"trace_format: {FORMAT}" in printed.stdout


def test_its_errors_are_one_line(drive: Path, tmp_path: Path) -> None:
    drive.write_text("500\nmany\n")
    with pytest.raises(TraceError, match="line 2: kilobytes is 'many'"):
        load(drive, FORMAT)
    with pytest.raises(TraceError, match="no class 'Nothing'; those that fit: KilobytesPerSecond"):
        load(drive, f"{EXAMPLE}:Nothing")
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from traces.formats import ReadOnly\n\n"
        "class Broken(ReadOnly):\n"
        "    def read(self, source, name):\n"
        "        return 1 / 0\n"
    )
    with pytest.raises(TraceError, match=r"broken\.py:5: own: ZeroDivisionError"):
        load(drive, f"{broken}:Broken")
    broken.write_text(broken.read_text().replace("1 / 0", "5"))
    with pytest.raises(TraceError, match="gives int, not a traces"):
        load(drive, f"{broken}:Broken")
