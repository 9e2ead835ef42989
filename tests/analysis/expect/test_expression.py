"""The language of expectations."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.expect.expression import METRIC_PATHS, Name, parse, value

CONTROLLERS = ["bbr", "policy", "policy:gcc", "policy:my-file.py:Mine"]


def amount(text: str, **metrics: float) -> float:
    """A side's value; metrics by controller."""
    parsed = parse(f"{text} <= bbr.power", CONTROLLERS)
    return value(parsed.left, lambda name: metrics[name.controller or ""])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("8 - 3 - 2", 3),
        ("8 / 4 / 2", 1),
        ("- 3 + 5", 2),
        ("-bbr.power", -10),
        ("70% * bbr.power", 7),
        ("1e3 / .5", 2000),
        ("bbr.power - policy.power", 6),
        ("2*bbr.power/policy.power", 5),
    ],
)
def test_arithmetic(text: str, expected: float) -> None:
    assert amount(text, bbr=10.0, policy=4.0) == pytest.approx(expected)


def test_a_division_by_zero_is_no_value() -> None:
    assert math.isnan(amount("bbr.power / policy.power", bbr=1.0, policy=0.0))


def test_names_of_controllers_may_hold_dots_colons_and_dashes() -> None:
    parsed = parse("policy:my-file.py:Mine.stall_200ms < 0.7 * policy:gcc.stall_200", CONTROLLERS)
    path = "video.stall_rate_200ms"
    assert parsed.names == [
        Name("policy:my-file.py:Mine", path, False),
        Name("policy:gcc", path, False),
    ]
    assert not parsed.of_every_controller


def test_a_metric_alone_is_of_every_controller() -> None:
    parsed = parse("qdelay_p95_ms <= 2 * baseline.bbr.qdelay_ms.p95", CONTROLLERS)
    assert parsed.names == [Name(None, "qdelay_ms.p95", False), Name("bbr", "qdelay_ms.p95", True)]
    assert parsed.of_every_controller
    assert parse("power >= baseline.power", CONTROLLERS).names[1] == Name(None, "power", True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bbr.power", "its end stands where one of <= < >= > must be"),
        ("bbr.power == 3", "'== 3' is not understood"),
        ("bbr.power <= ", "its end stands where a number or a metric must be"),
        ("bbr.power <= 3 4", "'4' is left over"),
        ("(bbr.power <= 3", "a bracket is not closed"),
        ("1 <= 2", "names no metric"),
        ("vegas.power <= 3", "'vegas' is none of the run's controllers: bbr, policy"),
        ("bbr.throughput <= 3", "'throughput' is no metric; did you mean throughput_mbps"),
        ("__import__ <= 3", "'__import__' is no metric"),
        ("print(bbr.power) <= 3", "'print' is no metric"),
        ("(" * 60 + "bbr.power", "nested too deeply"),
        ("1 + " * 200 + "bbr.power < 1", "longer than 500"),
        ("bbr.power <= 3; x", "'; x' is not understood"),
    ],
)
def test_a_mistake_is_one_line_with_the_remedy(text: str, told: str) -> None:
    with pytest.raises(AnalysisError) as caught:
        parse(text, CONTROLLERS)
    assert told in str(caught.value)
    assert "write it like" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    with suppress(AnalysisError):
        parse(text, CONTROLLERS)


def test_every_metric_of_a_run_can_be_named() -> None:
    assert {"stall_200", "stall_200ms", "video.stall_rate_200ms", "loss_rate"} <= set(METRIC_PATHS)
