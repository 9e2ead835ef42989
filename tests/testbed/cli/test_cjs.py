"""``tbtest cjs simulate`` on generated jobs, and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from policy.errors import PolicyError
from testbed.cli.cjs import cjs
from testbed.errors import UserError


def test_ratios_are_paired_with_the_baseline():
    arguments = [
        "simulate",
        "--policies",
        "fair,cap",
        "--baseline",
        "cap",
        "--count",
        "3",
        "--json",
    ]
    result = CliRunner().invoke(cjs, arguments)
    shown = json.loads(result.output)
    fair, cap = shown["policies"]
    pairs = zip(fair["jct_mean_s_by_sequence"], cap["jct_mean_s_by_sequence"], strict=True)
    assert fair["ratio"] == pytest.approx(sum(a / b for a, b in pairs) / 3)
    assert (cap["ratio"], cap["ratio_ci95"]) == (1.0, [1.0, 1.0])
    assert shown["sequences"] == ["poisson-0", "poisson-1", "poisson-2"]


def test_a_link_that_inputs_cross_takes_time():
    def mean_s(*more: str) -> float:
        arguments = ["simulate", "--policies", "fair", "--count", "1", "--json", *more]
        shown = json.loads(CliRunner().invoke(cjs, arguments).output)
        return float(shown["policies"][0]["jct_mean_s"])

    assert mean_s("--link-mbps", "500") > 1.02 * mean_s()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--policies", "fair,nothing"], "policy nothing: unknown; give one of fifo"),
        (["--baseline", "sjf"], "--baseline sjf: not among"),
        (["--sequences", "none-*.json"], "no such file"),
        (["--policies", "fair,policies"], "policy policies: unknown"),
        (["--policies", "fair,policy:nowhere/at/all"], "nowhere/at/all"),
        (["--profiles", "none.parquet"], "none.parquet: cannot be read"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], why: str, tmp_path: Path):
    result = CliRunner().invoke(cjs, ["simulate", *arguments])
    assert isinstance(result.exception, PolicyError | UserError)
    assert why in str(result.exception)
    assert "\n" not in str(result.exception)
