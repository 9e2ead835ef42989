"""Options of jobs traffic."""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.job import Job
from policy.tasks.cjs.network import NO_NETWORK, Network
from policy.tasks.cjs.policies.registry import rule
from policy.tasks.cjs.sequences import Arrivals, poisson, read_arrivals
from policy.tasks.cjs.simulator.layout import Settings
from policy.tasks.cjs.sources.files import read_jobs
from policy.tasks.cjs.sources.merge import merged
from policy.tasks.cjs.sources.synthetic import generate_jobs
from policy.tasks.cjs.splits import mean_gap_ms, split_by_query
from policy.tasks.cjs.workload import LOAD, SPARE_JOBS
from testbed.traffic.base import Options
from testbed.traffic.scheduler import TEACHER, asked_of_server, full_scheduler_name

if TYPE_CHECKING:
    from testbed.traffic.jobs.decide import Decider

# Generated jobs that no policy of ours was trained on.
_GENERATOR_SEED = 1_000
_SPARE_SEED = 1_000_000


@lru_cache(maxsize=4)
def _generated(most_tasks: int) -> tuple[Job, ...]:
    return tuple(merged(job, most_tasks) for job in generate_jobs(_GENERATOR_SEED))


class JobsOptions(Options):
    """The cluster, its jobs, and who schedules them. Times of profiles and arrivals are of the
    cluster's clock, which runs ``speed`` times as fast as the real one.
    """

    joint: ClassVar[bool] = True

    scheduler: str = Field("fair", description="a rule, teacher, or policy[:FOLDER]")
    profiles: Path | None = Field(
        None, description="job profiles as Parquet; null: generated jobs, with shuffles"
    )
    side: Literal["all", "train", "validation", "test"] = Field(
        "all", description="which queries, of the split that models are trained by"
    )
    sequence: Path | None = Field(
        None, description="arrivals as JSON; null: drawn by the cell's seed"
    )
    jobs: int = Field(20, ge=1, le=1_000, description="jobs that arrive")
    load: float = Field(LOAD, gt=0, le=10, description="of the slots, by the jobs' work alone")
    speed: float = Field(20.0, ge=1, le=1_000, description="of the cluster's clock")
    slots: int = Field(2, ge=1, le=16, description="tasks that a worker runs at a time")
    most_tasks: int = Field(8, ge=1, le=1_000, description="of a stage: more are merged")
    shuffle_scale: float = Field(
        0.002, ge=0, le=1, description="bytes on the network for each byte of the profiles"
    )
    moving_ms: int = Field(2_000, ge=0, le=10**7, description="of a slot that gets another job")
    warmup_ms: int = Field(1_000, ge=0, le=10**7, description="of a slot's first task in a job")
    deadline_ms: float = Field(
        100.0, gt=0, le=10_000, description="policy: wait so long, then take the fallback"
    )
    fallback: str = Field("fair", description="policy: the rule that answers in its place")
    simple: str = Field(
        "weighted-fair",
        description="policy: the rule that answers for one job or one candidate; empty: the policy",
    )

    @field_validator("scheduler")
    @classmethod
    def _known_scheduler(cls, name: str) -> str:
        return full_scheduler_name(name)

    @field_validator("fallback", "simple")
    @classmethod
    def _known_rule(cls, name: str) -> str:
        return rule(name).name if name else name

    @field_validator("profiles", "sequence")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().resolve() if path else None

    @model_validator(mode="after")
    def _consistent(self) -> JobsOptions:
        if not self.fallback:
            raise ValueError("fallback: name a rule, such as fair")
        if self.profiles or self.sequence:
            self.arrivals(0, 1)
        return self

    @cached_property
    def kinds(self) -> list[Job]:
        """The kinds of jobs, merged. Raises PolicyError naming file, job and stage."""
        if self.profiles is None:
            return list(_generated(self.most_tasks))
        return [merged(job, self.most_tasks) for job in read_jobs(self.profiles)]

    def arrivals(self, seed: int, slots: int) -> Arrivals:
        """The sequence of a cell. Raises PolicyError naming file and entry."""
        if self.sequence is not None:
            return read_arrivals(self.sequence, self.kinds)
        chosen = self._chosen
        gap_ms = mean_gap_ms(self.kinds, chosen, slots, self.load)
        return poisson(seed, chosen, self.jobs, gap_ms)

    def environment(
        self, seed: int, slots: int, network: Network = NO_NETWORK
    ) -> ClusterEnvironment:
        """The cluster of a cell before its first job, as the simulator has it: inputs take no time
        there, or cross the network, whose capacities are of the cluster's clock and the profiles'
        bytes (`network_bps`).
        """
        chosen = self._chosen
        gap_ms = mean_gap_ms(self.kinds, chosen, slots, self.load)
        return ClusterEnvironment(
            build_catalogue(self.kinds),
            self.arrivals(seed, slots),
            Settings(slots, self.moving_ms, self.warmup_ms),
            seed,
            spare=poisson(seed + _SPARE_SEED, chosen, SPARE_JOBS, gap_ms),
            network=network,
        )

    def network_bps(self, rate_bps: float) -> float:
        """What a link's rate is in the profiles' bytes and on the cluster's clock; infinite where
        nothing crosses it.
        """
        scale = self.speed * self.shuffle_scale
        return rate_bps / scale if scale > 0 else math.inf

    @property
    def _chosen(self) -> tuple[int, ...]:
        if self.side == "all":
            return tuple(range(len(self.kinds)))
        kinds: tuple[int, ...] = getattr(split_by_query(self.kinds), self.side)
        return kinds

    def asked(self) -> dict[str, str]:
        """See Options."""
        served = asked_of_server(self.scheduler)
        return {} if served is None else {"schedulers": served}

    def check(self) -> None:
        """Compiles what the master needs, for which a cell would not wait."""
        from testbed.traffic.jobs.decide import rehearse

        rehearse(self.scheduler, self.environment(0, 2))

    def decider(self, policy_server: str) -> Decider:
        """The scheduler. Raises PolicyError."""
        from testbed.traffic.jobs.decide import RolloutTeacher, Rule, Served

        served = asked_of_server(self.scheduler)
        if served is not None:
            return Served(
                served,
                policy_server,
                deadline_ms=self.deadline_ms,
                fallback=self.fallback,
                simple=self.simple,
            )
        return RolloutTeacher() if self.scheduler == TEACHER else Rule(self.scheduler)
