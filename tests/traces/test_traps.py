"""Warnings of known mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from traces import Steps, Trace
from traces.library import TraceFile
from traces.traps import suspicions


def warnings(
    mean_bps: float, path: str, format: str = "json", delay: bool = False, period_s: int = 60
) -> str:
    steps = Steps(
        np.array([0, 10**9]), np.array([mean_bps, mean_bps]), np.array([5, 5]) if delay else None
    )
    return " ".join(suspicions(TraceFile(Trace("t", period_s * 10**9, steps), Path(path), format)))


@pytest.mark.parametrize(
    ("mean_bps", "path", "format", "suspected"),
    [
        (0.144e6, "norway_3g/1.json", "opennetlab", True),
        (1.15e6, "norway_3g/1.json", "opennetlab", False),
        (3.9e6, "ghent/4G_7.json", "opennetlab", True),
        (31e6, "ghent/4G_7.json", "opennetlab", False),
        (0.144e6, "norway_3g/1.json", "json", False),
    ],
)
def test_eightfold(mean_bps: float, path: str, format: str, suspected: bool) -> None:
    assert ("--unit-scale 8" in warnings(mean_bps, path, format)) == suspected


def test_others() -> None:
    assert warnings(5e6, "x.json") == ""
    assert "check the unit" in warnings(5e3, "x.json")
    assert "check the unit" in warnings(50e9, "x.json")
    assert "goodput" in warnings(31e6, "ghent-4g/x.json")
    assert "--no-delay" in warnings(5e6, "x.json", delay=True)
    assert "repeats" in warnings(5e6, "x.json", period_s=2)
