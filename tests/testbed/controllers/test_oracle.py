"""What the oracle is told of a network, and when it cannot be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.tasks.congestion.policies.oracle import OracleSettings
from testbed.controllers.oracle import foresight
from testbed.controllers.policy import OracleController, PolicyController, controllers
from testbed.controllers.server import SharedServer
from testbed.errors import UserError
from testbed.links.base import Direction, LinkSpec, Queue
from testbed.network import Network, OpenLink, Pair, PathLink
from testbed.scenario import parse_scenario
from testbed.traffic.base import FlowSpec
from testbed.traffic.planned import PlannedFlow
from traces.forms import Steps
from traces.model import Trace

MS = 1_000_000
ZERO = 3_000 * MS
HALVING = Trace("halving", None, Steps(np.array([0, 1_000 * MS]), np.array([8e6, 4e6])))


def network(capacity: Trace | None = HALVING) -> Network:
    """Two pairs over a delaying link, which they take backwards, and a bottleneck."""
    none: Any = None
    way, narrow = (
        Direction(delay_ns=7 * MS),
        Direction(capacity=capacity, queue=Queue(), delay_ns=13 * MS),
    )
    links = {
        "far": OpenLink(0, "far", False, LinkSpec("far", Direction(), way), none, none, none),
        "narrow": OpenLink(
            1, "narrow", True, LinkSpec("narrow", narrow, Direction()), none, none, none
        ),
    }
    path = (PathLink("far", False), PathLink("narrow", True))
    pairs = [Pair(i, none, none, "measured", 20 * MS, 20 * MS, path, "narrow") for i in range(2)]
    return Network({}, {}, pairs, links, {})


def flows(pairs: list[Pair], *starts_ms: int) -> list[PlannedFlow]:
    spec: Any = FlowSpec.model_construct()
    timed = zip(pairs, starts_ms, strict=True)
    return [PlannedFlow(spec, pair, "measured", at_ms * MS, 2_000 * MS) for pair, at_ms in timed]


def test_the_trace_is_on_the_hosts_clock_with_all_flows() -> None:
    made = network()
    told = foresight(ZERO, made, flows(made.pairs, 0, 150), OracleSettings(horizon_windows=3))
    assert told.capacity().between(ZERO + 900 * MS, ZERO + 1_100 * MS) == pytest.approx(150e3)
    assert told.capacity().between(0, ZERO) == 0
    assert (told.upstream_delay_ns, told.base_rtt_ns) == (7 * MS, 40 * MS)
    assert [told.share(ZERO + at_ms * MS) for at_ms in (100, 200, 2_000)] == [1.0, 0.5, 1.0]
    assert told.settings.target.horizon_windows == 3


def test_flows_that_differ_are_refused() -> None:
    made = network()
    longer = replace(made.pairs[1], reverse_delay_ns=99 * MS)
    with pytest.raises(UserError, match="all with the same delays"):
        foresight(ZERO, made, flows([made.pairs[0], longer], 0, 0), OracleSettings())
    free = replace(made.pairs[0], bottleneck=None)
    with pytest.raises(UserError, match="meet a bottleneck"):
        foresight(ZERO, made, flows([free], 0), OracleSettings())


def test_a_bottleneck_without_a_limit_is_refused() -> None:
    made = network(capacity=None)
    with pytest.raises(UserError, match="narrow has no capacity limit"):
        foresight(ZERO, made, flows(made.pairs, 0, 0), OracleSettings())


def test_the_oracle_keeps_its_settings_from_the_shared_server() -> None:
    policy = {"oracle": {"target_delay_ms": 15}, "light": "aimd", "window_ns": 50_000_000}
    names = ("policy:gcc", "policy:oracle")
    scenario = parse_scenario(
        {"cc": names, "policy": policy, "policy_server": "unix:/shared"}, "test"
    )
    found = controllers(names, scenario, SharedServer(scenario))
    assert type(found["policy:gcc"]) is PolicyController
    assert type(found["policy:oracle"]) is OracleController
    for controller in found.values():
        controller.check()


def test_an_unknown_setting_of_the_oracle_is_named() -> None:
    scenario = parse_scenario({"cc": "policy:oracle", "policy": {"oracle": {"delay": 1}}}, "test")
    controller = controllers(("policy:oracle",), scenario, SharedServer(scenario))["policy:oracle"]
    with pytest.raises(UserError, match=r"unknown key 'policy\.oracle\.delay'"):
        controller.check()


def test_what_begins_a_cell_reaches_the_file_at_once(tmp_path: Path) -> None:
    scenario = parse_scenario({"cc": "policy:oracle"}, "test")
    controller = OracleController(scenario)
    controller._foresight = tmp_path / "foresight.json"
    made = network()
    controller.begin(ZERO, made, flows(made.pairs, 0, 0))
    assert [path.name for path in tmp_path.iterdir()] == ["foresight.json"]
