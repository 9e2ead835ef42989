"""Who schedules: the rule, the server, or fair where the server is late, gone or wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from policy.protocol import policy_pb2 as pb
from policy.protocol.clusters import observation_of
from policy.protocol.policy_pb2_grpc import PolicyServicer, add_PolicyServicer_to_server
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.inputs import agreed
from policy.tasks.cjs.live import LiveCluster
from policy.tasks.cjs.simulator.layout import ACTIVE
from testbed.traffic.jobs.decide import Decision
from testbed.traffic.jobs.options import JobsOptions

# So long that an answer which comes is in time, however busy the machine is.
OPTIONS = JobsOptions(scheduler="policy", load=10.0, jobs=6, deadline_ms=10_000)
FAIR = JobsOptions(scheduler="fair")


class Servicer(PolicyServicer):
    """A server whose answers the test chooses: the first candidate, unless told otherwise."""

    def __init__(self) -> None:
        self.delay_s, self.answer, self.refusal = 0.0, None, ""

    def Schedule(  # noqa: N802
        self, request: pb.ClusterRequest, context: grpc.ServicerContext
    ) -> pb.Placement:
        time.sleep(self.delay_s)
        if self.refusal:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, self.refusal)
        if self.answer is not None:
            return self.answer
        return pb.Placement(stage=int(observation_of(request)["stage_number"][0, 1]), executors=3)


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
def server(servicer: Servicer, tmp_path: Path) -> Iterator[grpc.Server]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add_PolicyServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{tmp_path}/s")
    server.start()
    yield server
    server.stop(None).wait()


@pytest.fixture(scope="module")
def busy() -> ClusterEnvironment:
    """A cluster with several jobs, a decision due."""
    OPTIONS.check()
    environment = OPTIONS.environment(1, 16)
    live = LiveCluster(environment)
    fair = FAIR.decider("")
    now = 0.0
    while True:
        now += 200.0
        while live.advance(now):
            if environment.cluster.scalar[ACTIVE] >= 3 and agreed(environment) is None:
                return environment
            chosen = fair.choose(environment)
            live.decide(chosen.stage, chosen.executors, now)
        for launch in live.launches():
            live.ended(launch.slot, now)


def fair(environment: ClusterEnvironment) -> tuple[int, int]:
    chosen = FAIR.decider("").choose(environment)
    return chosen.stage, chosen.executors


def ask(environment: ClusterEnvironment, address: str, options: JobsOptions = OPTIONS) -> Decision:
    asked = options.decider(address)
    try:
        asked.choose(environment)  # the first request sets the connection up
        return asked.choose(environment)
    finally:
        asked.close()


def test_the_server_is_asked(server: grpc.Server, busy: ClusterEnvironment, tmp_path: Path) -> None:
    decision = ask(busy, f"unix:{tmp_path}/s")
    assert (decision.source, decision.executors) == ("policy", 3)


@pytest.mark.parametrize(
    "answer",
    [pb.Placement(stage=99_999, executors=1), pb.Placement(stage=0, executors=0), pb.Placement()],
)
def test_what_is_no_candidate_is_not_taken(
    server: grpc.Server, servicer: Servicer, busy: ClusterEnvironment, tmp_path: Path,
    answer: pb.Placement,
) -> None:  # fmt: skip
    servicer.answer = answer
    decision = ask(busy, f"unix:{tmp_path}/s")
    assert decision.source == "fallback"
    assert (decision.stage, decision.executors) == fair(busy)


def test_why_the_server_refuses_is_told_once(
    server: grpc.Server, servicer: Servicer, busy: ClusterEnvironment, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    servicer.refusal = "no scheduler 'default' is served here"
    assert ask(busy, f"unix:{tmp_path}/s").source == "fallback"
    (record,) = caplog.records
    assert record.getMessage() == f"the policy server refuses requests: {servicer.refusal}"


def test_a_late_answer_is_not_waited_for(
    server: grpc.Server, servicer: Servicer, busy: ClusterEnvironment, tmp_path: Path
) -> None:
    servicer.delay_s = 1.0
    hurried = OPTIONS.model_copy(update={"deadline_ms": 100.0})
    assert ask(busy, f"unix:{tmp_path}/s", hurried).source == "fallback"


def test_a_server_that_died_is_not_waited_for(
    server: grpc.Server, busy: ClusterEnvironment, tmp_path: Path
) -> None:
    asked = OPTIONS.decider(f"unix:{tmp_path}/s")
    assert asked.choose(busy).source == "policy"
    server.stop(None).wait()
    decisions = [asked.choose(busy) for _ in range(5)]
    asked.close()
    assert {decision.source for decision in decisions} == {"fallback"}
    assert {(decision.stage, decision.executors) for decision in decisions} == {fair(busy)}
    assert min(decision.elapsed_ns for decision in decisions) < OPTIONS.deadline_ms / 2 * 1e6


def test_simple_cases_are_a_rules() -> None:
    environment = OPTIONS.environment(1, 16)
    assert LiveCluster(environment).advance(0.0)
    asked = OPTIONS.model_copy(update={"simple": "cap"}).decider("unix:/nowhere/at/all")
    decision = asked.choose(environment)
    asked.close()
    assert decision.source == "simple"
    assert decision.executors > 0


def test_the_teacher_decides_in_the_master(busy: ClusterEnvironment) -> None:
    decision = JobsOptions(scheduler="teacher").decider("").choose(busy)
    assert decision.source == "teacher"
    assert decision.stage >= -1
