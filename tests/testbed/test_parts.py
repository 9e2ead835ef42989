"""Steps, flows with times of their own, policer and Wi-Fi in a scenario."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from testbed.errors import UserError
from testbed.parts import steps_trace
from testbed.scenario import Scenario, parse_scenario

STEPS = [
    {"at": "0s", "rate": "1mbit"},
    {"at": "40s", "rate": "2.5mbit", "delay": "20ms", "loss": "1%"},
    {"at": "60s", "rate": 0},
]


def scenario(**keys: Any) -> Scenario:
    return parse_scenario({"cc": ["cubic"], "duration": "100s", **keys}, "test")


def test_steps_are_the_trace() -> None:
    found = scenario(steps=STEPS)
    assert (found.trace, found.rate_bps) == (None, None)
    trace = steps_trace(found.steps, "steps")
    assert trace.steps is not None
    assert trace.steps.capacity_bps.tolist() == [1e6, 2.5e6, 0]
    assert trace.steps.start_ns.tolist() == [0, 40 * 10**9, 60 * 10**9]
    assert trace.steps.delay_ns is not None
    assert trace.steps.delay_ns.tolist() == [0, 20_000_000, 0]
    again = parse_scenario(yaml.safe_load(found.to_yaml()), "again")
    assert again == found


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"steps": STEPS, "rate": "5mbit"}, "or steps"),
        ({"reverse": {"steps": STEPS, "rate": "5mbit"}}, "or steps"),
        ({"steps": [{"at": "0s", "rate": "5 furlongs"}]}, "not a rate"),
        ({"each_flow": [{}, {}]}, "2 entries for 1 flows"),
        ({"each_flow": [{"start": "50s", "stop": "40s"}]}, "a flow stops after its start"),
        ({"each_flow": [{"stop": "200s"}]}, "within duration"),
        ({"policer": "5mbit"}, "for example 5mbit,50kB"),
        ({"policer": "5mbit,1kB"}, "the burst must hold"),
        ({"wifi": "92ms"}, "less than or equal"),
    ],
)
def test_mistakes_are_named(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        scenario(**keys)


def test_policer_and_wifi_are_printed_as_they_are_read() -> None:
    found = scenario(rate="10mbit", policer="5mbit,50kB", wifi="7ms", about={"title": "x"})
    data = yaml.safe_load(found.to_yaml())
    assert (data["policer"], data["wifi"]) == ("5mbit,50kB", "7ms")
    assert parse_scenario(data, "again") == found
