"""Splits: a query is on one side, and so are queries of the same graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.tasks.cjs.sequences import poisson
from policy.tasks.cjs.sources.synthetic import generate_jobs
from policy.tasks.cjs.splits import mean_gap_ms, split_by_query, work_ms

JOBS = generate_jobs(5, queries=12)


@settings(max_examples=20)
@given(st.permutations(range(len(JOBS))), st.integers(1, 12), st.integers(1, 12))
def test_every_job_is_on_one_side_with_its_query_and_its_graph(order, one: int, two: int):
    # Query `one` gets the graph of query `two`.
    twin = {job.size_gb: job for job in JOBS if job.query == two}
    jobs = [
        replace(twin[job.size_gb], query=one) if job.query == one else job
        for job in (JOBS[index] for index in order)
    ]
    split = split_by_query(jobs)
    assert sorted([*split.train, *split.validation, *split.test]) == list(range(len(jobs)))
    for side in split:
        queries = {jobs[index].query for index in side}
        assert side
        assert all((job.query in queries) == (index in side) for index, job in enumerate(jobs))
    assert any({one, two} <= {jobs[index].query for index in side} for side in split)


def test_too_few_queries_are_refused():
    with pytest.raises(PolicyError, match="3 queries of different graphs"):
        split_by_query([job for job in JOBS if job.query <= 3])


def test_the_gap_makes_the_load():
    kinds = split_by_query(JOBS).test
    gap_ms = mean_gap_ms(JOBS, kinds, executors=50, load=0.7)
    arrivals = poisson(3, kinds, 20_000, gap_ms)
    work = np.array([work_ms(job) for job in JOBS])[arrivals.kind].sum()
    assert work / (50 * arrivals.arrival_ms[-1]) == pytest.approx(0.7, rel=0.03)
