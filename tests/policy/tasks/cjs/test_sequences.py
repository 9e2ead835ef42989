"""Arrival files that are refused, and processes with the mean gap they were asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from policy.errors import PolicyError
from policy.tasks.cjs.sequences import bursty, poisson, read_arrivals
from policy.tasks.cjs.sources.synthetic import generate_jobs

JOBS = generate_jobs(1, queries=2)


def test_a_file_is_read_in_order(tmp_path: Path):
    file = tmp_path / "two.json"
    file.write_text(json.dumps([[0, 1, 2], [700, 2, 100]]))
    arrivals = read_arrivals(file, JOBS)
    assert arrivals.arrival_ms.tolist() == [0, 700]
    chosen = [JOBS[kind] for kind in arrivals.kind]
    assert [(job.query, job.size_gb) for job in chosen] == [(1, 2), (2, 100)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("[]", "give a JSON list of 1 to"),
        ("[[5, 1, 2]]", "entry 0 arrives at 5 ms"),
        ("[[0, 1, 2], [9, 1, 2], [8, 1, 2]]", "entry 2 arrives at 8 ms"),
        ("[[0, 1, 3]]", "entry 0: no profile of query 1 at 3 GB"),
        ("[[0, 1]]", r"entry 0 is no \["),
        ("[[0, true, 2]]", r"entry 0 is no \["),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, why: str):
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(PolicyError, match=f"bad.json: .*{why}"):
        read_arrivals(file, JOBS)


@pytest.mark.parametrize("draw", [poisson, bursty])
def test_gaps_have_the_mean_and_the_seed_fixes_them(draw):
    first = draw(3, range(10), count=20_000, mean_gap_ms=1_000, **_short(draw))
    again = draw(3, range(10), count=20_000, mean_gap_ms=1_000, **_short(draw))
    assert np.array_equal(first.arrival_ms, again.arrival_ms)
    assert np.array_equal(first.kind, again.kind)
    assert abs(np.diff(first.arrival_ms).mean() - 1_000) < 60


def _short(draw) -> dict[str, float]:
    return {"gap_in_burst_ms": 10} if draw is bursty else {}


def test_bursts_that_cannot_fit_are_refused():
    with pytest.raises(PolicyError, match="do not fit"):
        bursty(1, [0], mean_gap_ms=100, mean_burst=5, gap_in_burst_ms=1_000)
