"""The suites that ship: every case is a scenario, for a section of its standard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import UserError
from testbed.run.prepared import resolve
from testbed.scenario import Scenario, parse_scenario
from testbed.suite.definition import load_suite, scenario_of, suite_names
from testbed.suite.scale import scaled
from testbed.units import NS_PER_MS

SECTIONS = {
    "rfc8867": {f"5.{n}" for n in range(1, 9)} | {f"6.{n}" for n in range(1, 4)},
    "rfc9743": {f"5.1.{n}" for n in range(1, 6)}
    | {f"5.2.{n}" for n in range(1, 4)}
    | {f"5.3.{n}" for n in (1, 2)}
    | {f"6.{n}" for n in range(1, 5)}
    | {f"7.{n}" for n in range(1, 12)},
}


@pytest.mark.parametrize("name", suite_names())
def test_every_case_resolves_for_any_controller(name: str) -> None:
    suite = load_suite(name)
    assert suite.cases
    for case in suite.cases:
        prepared = resolve(scenario_of(case, ("cubic",), repeats=1, scale=1))
        assert prepared.scenario.expect == tuple(case.data["expect"])
        assert "cc" not in case.data


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_run_or_has_a_reason(name: str) -> None:
    suite = load_suite(name)
    run = {case.about.section for case in suite.cases}
    left = {entry.section for entry in suite.head.elsewhere}
    assert run | left == SECTIONS[name]
    assert not run & left


def test_a_case_is_chosen_by_name_or_section() -> None:
    suite = load_suite("rfc8867")
    assert [case.name for case in suite.chosen(("5.6",))] == ["5.6", "5.6-deep"]
    assert [case.name for case in suite.chosen(("5.6-deep",))] == ["5.6-deep"]
    assert len(suite.chosen(())) == len(suite.cases)
    with pytest.raises(UserError, match=r"--case 9.9: rfc8867 has no such case; it has 5.1"):
        suite.chosen(("9.9",))
    with pytest.raises(UserError, match="known: c4, rfc8867, rfc9743"):
        load_suite("rfc1")


@given(st.floats(0.1, 3))
def test_scaling_moves_every_moment_and_nothing_else(factor: float) -> None:
    whole = scenario()
    part = scaled(whole, factor)

    def near(value_ns: int, original_ns: int) -> bool:
        return abs(value_ns - original_ns * factor) <= NS_PER_MS

    assert near(part.duration_ns, whole.duration_ns)
    for here, there in ((part, whole), (part.reverse, whole.reverse)):
        assert all(near(a.at_ns, b.at_ns) for a, b in zip(here.steps, there.steps, strict=True))
    assert near(part.each_flow[0].start_ns or 0, whole.each_flow[0].start_ns or 0)
    assert part.each_flow[0].options["pause_s"] == pytest.approx(20 * factor, abs=1e-3)
    assert near(part.cross_traffic[0].stop_ns or 0, whole.cross_traffic[0].stop_ns or 0)
    assert (part.rtt_ns, part.buffer, part.expect) == (whole.rtt_ns, whole.buffer, whole.expect)
    assert "cc" not in part.model_fields_set


def scenario() -> Scenario:
    steps = [{"at": "0s", "rate": "2mbit"}, {"at": "40s", "rate": "1mbit"}]
    return parse_scenario(
        {
            "steps": steps,
            "reverse": {"steps": steps},
            "duration": "100s",
            "each_flow": [{"start": "20s", "options": {"pause_at_s": 30, "pause_s": 20}}],
            "cross_traffic": [{"kind": "bulk", "start": "10s", "stop": "50s"}],
            "expect": ["loss_rate <= 5%"],
        },
        "test",
    )
