"""Observations: what is left out when more jobs are in the cluster than are shown."""

from __future__ import annotations

import numpy as np
import pytest

from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.policies.registry import RULES
from policy.tasks.cjs.sequences import Arrivals
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.executors import job_of_pool
from policy.tasks.cjs.simulator.layout import ACTIVE, ACTIVE_JOB, JOB, NEVER, SOURCE, WORK, Settings
from policy.tasks.cjs.sources.synthetic import generate_jobs

# The first test of all compiles the simulator.
pytestmark = pytest.mark.timeout(900)

JOBS = generate_jobs(5, queries=4)
CATALOGUE = build_catalogue(JOBS)


@pytest.mark.parametrize("shown", [3, 16])
def test_of_too_many_jobs_those_with_the_least_work_and_the_source_are_shown(shown: int):
    kinds = np.random.default_rng(1).integers(0, len(JOBS), 40)
    arrivals = Arrivals("at once", np.arange(40) * 100, kinds)
    environment = ClusterEnvironment(
        CATALOGUE, arrivals, Settings(executors=20), seed=1, shown_jobs=shown
    )
    seen, done, crowded, with_source = environment.reset(), False, 0, 0
    cluster, rule = environment.cluster, RULES["fair"]
    while not done:
        active = cluster.job[: cluster.scalar[ACTIVE], ACTIVE_JOB]
        rows = seen.present.any(axis=1)
        # The stage numbers of a row say whose row it is.
        stages = np.where(seen.present, seen.stage_number, -1)[rows].max(axis=1)
        jobs = cluster.stage[stages, JOB]
        assert len(set(jobs)) == len(jobs) <= shown
        assert set(jobs) <= set(active)
        source = job_of_pool.py_func(cluster, cluster.scalar[SOURCE])
        if len(active) > shown:
            crowded += 1
            hidden = [job for job in active if job not in jobs]
            others = [job for job in jobs if job != source]
            assert max(cluster.job[others, WORK]) <= min(cluster.job[hidden, WORK])
            with_source += source in active
            assert source not in hidden
        else:
            assert set(jobs) == set(active)
        stage, executors = ENTRIES.choose(cluster, rule.number, rule.array())
        ENTRIES.decide(cluster, stage, executors)
        done = not ENTRIES.open_round(cluster, NEVER)
        seen = environment.observe()
    assert crowded > 10
    assert with_source > 0
