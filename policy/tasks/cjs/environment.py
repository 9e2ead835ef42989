"""One simulated cluster as an environment: reset, step, observe."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from policy.errors import PolicyError
from policy.tasks.cjs.catalogue import Catalogue
from policy.tasks.cjs.job import IntArray
from policy.tasks.cjs.network import NO_NETWORK, Network
from policy.tasks.cjs.policies.registry import RulePolicy
from policy.tasks.cjs.sequences import Arrivals
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import (
    ARRIVAL,
    BUSY,
    COMMITTED_FROM,
    DONE,
    FINISHED,
    JOB_TIME,
    JOBS,
    NEVER,
    NOW,
    POOL,
    SIZE,
    SOURCE,
    Cluster,
    Settings,
    copy_cluster,
    new_cluster,
)
from policy.tasks.cjs.simulator.observe import Observation, new_observation

SHOWN_JOBS = 16
MAX_EXECUTORS = 1_000


class ClusterEnvironment:
    """A cluster that executes one sequence of jobs; README.md of this folder describes it.

    ``reset`` comes before ``step``; ``run`` needs a cluster that has just been made or reset.

    The same catalogue, arrivals, settings and seed give the same episode for the same decisions,
    and a task takes the same random draws under every policy. ``spare`` jobs are what roll-outs
    (``teacher.py``) imagine to arrive. What tasks take from their parents crosses the ``network``;
    without one inputs take no time.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        arrivals: Arrivals,
        settings: Settings | None = None,
        seed: int = 0,
        shown_jobs: int = SHOWN_JOBS,
        spare: Arrivals | None = None,
        network: Network = NO_NETWORK,
    ) -> None:
        self.settings = settings or Settings()
        for sequence in (arrivals,) if spare is None else (arrivals, spare):
            _check(self.settings, catalogue, sequence)
        self._begin = (catalogue, arrivals, self.settings, seed, spare, network)
        stages = int(np.diff(catalogue.first)[arrivals.kind].max())
        self.seen = new_observation(shown_jobs, stages)
        self.cluster = new_cluster(*self._begin)

    def reset(self) -> Observation:
        """Start again; the observation before the first decision."""
        self.cluster = new_cluster(*self._begin)
        ENTRIES.open_round(self.cluster, NEVER)
        return self.observe()

    def observe(self) -> Observation:
        """What is to be seen now, in arrays that the next call overwrites."""
        ENTRIES.observe(self.cluster, self.seen)
        return self.seen

    def step(self, stage: int, executors: int) -> tuple[float, bool]:
        """Commit executors to a stage, or pass with stage -1; (reward, whether all jobs are done).

        The reward is minus the time, in s, that jobs spent in the cluster up to the next decision.
        Raises PolicyError for a stage that may not be chosen, and if nothing can happen any more.
        """
        before_ms = int(self.cluster.scalar[JOB_TIME])
        if not ENTRIES.decide(self.cluster, stage, executors):
            raise PolicyError(
                f"stage {stage} with {executors} executors: give a candidate and at least 1"
            )
        due = ENTRIES.open_round(self.cluster, NEVER)
        if not due:
            _check_finished(self.cluster)
        return (before_ms - int(self.cluster.scalar[JOB_TIME])) / 1e3, not due

    def run(self, rule: RulePolicy) -> IntArray:
        """Let a rule decide to the end; the completion time of each job in ms."""
        ENTRIES.run(self.cluster, rule.number, rule.array(), NEVER)
        _check_finished(self.cluster)
        return self.completion_ms()

    def completion_ms(self) -> IntArray:
        """Time in the cluster of each job [jobs], of unfinished ones until now."""
        job = self.cluster.job[: self.cluster.scalar[JOBS]]
        end = np.minimum(job[:, DONE], self.cluster.scalar[NOW])
        times: IntArray = np.maximum(0, end - job[:, ARRIVAL])
        return times

    def copy(self) -> ClusterEnvironment:
        """The same environment in the same state, to try something in."""
        other = object.__new__(ClusterEnvironment)
        other.settings, other._begin = self.settings, self._begin
        other.seen = new_observation(*self.seen.present.shape)
        other.cluster = copy_cluster(self.cluster)
        return other


def may_pass(cluster: Cluster) -> bool:
    """Whether another decision is sure to come after passing: outside the source, and not all
    promised to other pools, executors run tasks of a stage.
    """
    source = cluster.scalar[SOURCE]
    pools = cluster.executor[cluster.executor[:, BUSY] > 0, POOL]
    free = cluster.pool[pools, SIZE] > cluster.pool[pools, COMMITTED_FROM]
    return bool((free & (pools != source)).any())


def run_many(
    environments: Sequence[ClusterEnvironment], rule: RulePolicy, threads: int
) -> list[IntArray]:
    """``run`` of each, on so many threads at once: the compiled loops need no interpreter lock."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda environment: environment.run(rule), environments))


def _check(settings: Settings, catalogue: Catalogue, arrivals: Arrivals) -> None:
    if not 1 <= settings.executors <= MAX_EXECUTORS:
        raise PolicyError(f"{settings.executors} executors; give 1 to {MAX_EXECUTORS}")
    if not (0 <= settings.moving_ms <= 10**7 and 0 <= settings.warmup_ms <= 10**7):
        raise PolicyError(
            f"moving delay {settings.moving_ms} ms, warm-up {settings.warmup_ms} ms: 0 to 10^7"
        )
    if (
        not len(arrivals)
        or arrivals.kind.min() < 0
        or arrivals.kind.max() >= len(catalogue.first) - 1
    ):
        raise PolicyError(
            f"sequence {arrivals.name}: empty, or with jobs that the catalogue does not have"
        )


def _check_finished(cluster: Cluster) -> None:
    if cluster.scalar[FINISHED] < cluster.scalar[JOBS]:
        raise PolicyError(
            f"{cluster.scalar[JOBS] - cluster.scalar[FINISHED]} jobs wait and nothing runs: "
            "the policy passed when it had to choose a stage"
        )
