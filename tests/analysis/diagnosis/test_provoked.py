"""Every cause, provoked by a cell, is named first: recordings always, cells nightly, in virtual
time where a cause can be provoked in it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.diagnosis import diagnose
from analysis.diagnosis.causes import CAUSES
from analysis.run import load_run
from testbed.virtual.kernel import cached
from tests.analysis.diagnosis.provoke import LIVE_ALONE, PROVOKED, provoke, record

RECORDED = Path(__file__).with_name("recorded")


def first(folder: Path) -> str:
    findings = diagnose(load_run(folder)).findings
    return findings[0].cause if findings else "nothing"


def test_every_cause_is_provoked() -> None:
    assert list(PROVOKED) == [cause.name for cause in CAUSES]


@pytest.mark.parametrize("cause", PROVOKED)
def test_it_is_named_first_in_its_recording(cause: str) -> None:
    assert first(RECORDED / cause.replace(" ", "-")) == cause


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cause", [cause for cause in PROVOKED if cause not in LIVE_ALONE])
def test_it_is_named_first_when_provoked_in_virtual_time(cause: str, tmp_path: Path) -> None:
    if cached() is None:
        pytest.skip("no kernel for virtual time is cached; `tbtest run --virtual` builds one")
    record(cause, provoke(cause, tmp_path / "run", virtual=True), tmp_path / "kept")
    assert first(tmp_path / "kept") == cause


@pytest.mark.root
@pytest.mark.nightly
@pytest.mark.parametrize("cause", LIVE_ALONE)
def test_it_is_named_first_when_provoked_live(cause: str, tmp_path: Path) -> None:
    record(cause, provoke(cause, tmp_path / "run"), tmp_path / "kept")
    assert first(tmp_path / "kept") == cause
