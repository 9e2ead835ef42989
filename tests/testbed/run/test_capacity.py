"""Where in its trace a scenario begins."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from testbed.run.capacity import trace_start_ns
from testbed.scenario import parse_scenario
from testbed.units import NS_PER_S
from traces.forms import Steps
from traces.model import Trace

HALF_SILENT = Trace(
    "half", 20 * NS_PER_S, Steps(np.array([0, 10 * NS_PER_S]), np.array([0.0, 8e6]))
)


@given(st.integers(0, 2**31 - 1))
def test_a_random_place_is_not_in_an_outage(seed: int) -> None:
    scenario = parse_scenario({"trace_start": "random", "duration": "5s", "seed": seed}, "flags")
    start_ns = trace_start_ns(scenario, HALF_SILENT)
    assert 9 * NS_PER_S < start_ns <= 15 * NS_PER_S
    assert start_ns == trace_start_ns(scenario, HALF_SILENT)


def test_a_given_place_is_kept() -> None:
    scenario = parse_scenario({"trace_start": "3s", "duration": "5s"}, "flags")
    assert trace_start_ns(scenario, HALF_SILENT) == 3 * NS_PER_S
