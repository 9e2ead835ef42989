"""Who decides: the rule, the server, or the fallback where the server is late, gone or wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import pytest

from policy.protocol import policy_pb2 as pb
from policy.protocol.policy_pb2_grpc import PolicyServicer, add_PolicyServicer_to_server
from policy.server.levels import Levels
from policy.tasks.abr.measured import measured, record, set_buffer
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.session import Sessions
from testbed.traffic.dash.decide import decider, rehearse
from testbed.traffic.dash.options import DashOptions

# So long that an answer which comes is in time, however busy the machine is.
OPTIONS = DashOptions(abr="policy:mpc", fallback="bba", deadline_ms=10_000)


class Servicer(PolicyServicer):
    """A server whose answers the test chooses."""

    def __init__(self) -> None:
        self.delay_s, self.level = 0.0, None
        self._levels = Levels(("mpc",))

    def Choose(self, request: pb.LevelRequest, context: object) -> pb.Level:  # noqa: N802
        time.sleep(self.delay_s)
        if self.level is not None:
            return pb.Level(level=self.level)
        return self._levels.choose(request.SerializeToString())


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
def address(servicer: Servicer, tmp_path: Path) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add_PolicyServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{tmp_path}/s")
    server.start()
    yield f"unix:{tmp_path}/s"
    server.stop(None).wait()


def session() -> Sessions:
    live = measured(OPTIONS.played, OPTIONS.measure)
    for _ in range(3):
        record(live, 1, 400_000.0, 1000.0, 40.0)
    set_buffer(live, 10_500.0)
    return live


def test_the_server_decides(address: str) -> None:
    chooses = decider(OPTIONS, address)
    decision = chooses.choose(session())
    assert (decision.source, decision.level) == ("policy", make_rule("mpc").decide(session())[0])
    chooses.close()


@pytest.mark.parametrize("fault", ["late", "wrong level", "not served"])
def test_the_fallback_decides_where_no_valid_answer_comes_in_time(
    address: str, servicer: Servicer, fault: str
) -> None:
    deadline_ms = OPTIONS.deadline_ms
    if fault == "late":
        servicer.delay_s, deadline_ms = 1.0, 200
    servicer.level = 6 if fault == "wrong level" else None
    abr = "policy:bba" if fault == "not served" else "policy:mpc"
    chooses = decider(OPTIONS.model_copy(update={"abr": abr, "deadline_ms": deadline_ms}), address)
    decision = chooses.choose(session())
    assert (decision.source, decision.level) == ("fallback", make_rule("bba").decide(session())[0])
    chooses.close()


def test_a_fallback_that_remembers_hears_of_every_chunk(address: str, servicer: Servicer) -> None:
    chooses = decider(OPTIONS.model_copy(update={"fallback": "bola"}), address)
    alone, live = make_rule("bola"), session()
    alone.begin(live)
    for late in (False, False, True):
        servicer.level = 6 if late else None
        decision, wanted = chooses.choose(live), alone.decide(live)[0]
        assert decision.source == ("fallback" if late else "policy")
        if late:
            assert decision.level == wanted
        record(live, decision.level, 500_000.0, 1200.0, 40.0)
    chooses.close()


def test_a_server_that_is_not_there_costs_no_more_than_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.traffic.ask._CONNECT_S", 0.01)
    chooses = decider(OPTIONS, f"unix:{tmp_path}/nobody")
    assert chooses.choose(session()).source == "fallback"
    chooses.close()


@pytest.mark.parametrize("rule", ["bola", "robust-mpc", "dynamic"])
def test_a_rule_decides_itself(rule: str) -> None:
    options = DashOptions(abr=rule)
    rehearse(options)
    chooses, alone, live = decider(options, ""), make_rule(rule), session()
    alone.begin(live)
    decision = chooses.choose(live)
    assert (decision.source, decision.level) == ("rule", alone.decide(live)[0])
    assert decision.elapsed_ns > 0
    assert np.isfinite(decision.elapsed_ns)
