"""From a run folder to findings and stalls, by folders whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis.diagnosis import diagnose
from analysis.run import load_run
from testbed.cli.diagnose import diagnose as command
from tests.analysis.synthetic import (
    SyntheticCell,
    frame,
    received,
    steady_packets,
    write_run,
)
from traces.model import constant


def _cell(queue_ms: float, shown_ms: list[int], **changes: object) -> SyntheticCell:
    frames = [frame(i, ms - 50, shown_ms=ms) for i, ms in enumerate(shown_ms)]
    logs = {
        "packets": steady_packets(10, 10, queue_ms),
        "frames": frames,
        "goodput": [received(12_000_000, 10)],
    }
    return SyntheticCell(duration_s=10, flows=({"kind": "video"},), logs=logs, **changes)  # type: ignore[arg-type]


@pytest.fixture
def bloated(tmp_path: Path) -> Path:
    """Ten seconds of 10 Mbit/s with 400 ms of queue, and a picture that stands from 4 to 5.5 s."""
    shown = [ms for ms in range(0, 10_000, 50) if not 4000 < ms < 5500]
    return write_run(tmp_path / "run", [_cell(400, shown)], trace=constant(10e6))


def test_the_queue_is_blamed_for_all_of_it(bloated: Path) -> None:
    diagnosis = diagnose(load_run(bloated))
    assert diagnosis.findings[0].cause == "bufferbloat"
    assert diagnosis.findings[0].share > 0.9
    assert diagnosis.findings[0].stalled_s == pytest.approx(1.5, abs=0.11)
    (stall,) = diagnosis.stalls
    assert stall.cause == "bufferbloat"
    assert stall.start_s == pytest.approx(4.0, abs=0.11)
    assert stall.length_s == pytest.approx(1.5, abs=0.11)
    assert stall.queue_ms == pytest.approx(400)
    assert stall.asked_mbps is None


def test_a_machine_that_was_too_busy_comes_first(tmp_path: Path) -> None:
    starved = [
        {"at_ns": 5_000 * 10**9 + ns, "busy": 1.0, "steal": 0.0} for ns in (10**9, 2 * 10**9)
    ]
    cell = _cell(400, list(range(0, 10_000, 50)), cpu=starved)
    folder = write_run(tmp_path / "run", [cell], trace=constant(10e6))
    causes = [finding.cause for finding in diagnose(load_run(folder)).findings]
    assert causes == ["processor starved", "bufferbloat"]


def test_a_good_run_has_no_findings(tmp_path: Path) -> None:
    cell = _cell(10, list(range(0, 10_000, 50)))
    folder = write_run(tmp_path / "run", [cell], trace=constant(10e6))
    assert not diagnose(load_run(folder)).findings
    told = CliRunner().invoke(command, [str(folder)])
    assert told.output.startswith("nothing to name: 0.0% of the windows were bad")


def test_the_command_tells_cause_evidence_and_remedy(bloated: Path) -> None:
    told = CliRunner().invoke(command, [str(bloated)])
    assert told.exit_code == 0
    assert told.output.startswith("bufferbloat  000-bbr-r0, flow 0: ")
    assert "remedy: a controller that keeps the queue short" in told.output
    assert "worst stall: 1." in told.output
    as_json = json.loads(CliRunner().invoke(command, [str(bloated), "--json"]).output)
    assert as_json["findings"][0]["cause"] == "bufferbloat"
