"""Quantities survive the way to text and back, and nonsense is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed import units
from testbed.errors import UserError


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [("40ms", 40_000_000), ("1.5 s", 1_500_000_000), ("20us", 20_000), ("2min", 120 * 10**9)],
)
def test_durations(text: str, value_ns: int) -> None:
    assert units.parse_duration_ns(text) == value_ns


@pytest.mark.parametrize(
    ("text", "value_bps"),
    [("12mbit", 12e6), ("12 Mbit/s", 12e6), ("12Mbps", 12e6), ("800kbit", 8e5), ("1gbit", 1e9)],
)
def test_rates(text: str, value_bps: float) -> None:
    assert units.parse_rate_bps(text) == value_bps


@pytest.mark.parametrize(
    ("text", "value_bytes"), [("60kB", 60_000), ("64KiB", 65_536), ("1500B", 1500)]
)
def test_sizes(text: str, value_bytes: int) -> None:
    assert units.parse_size_bytes(text) == value_bytes


def test_fractions() -> None:
    assert units.parse_fraction("0.5%") == 0.005
    assert units.parse_fraction(0.25) == 0.25


@pytest.mark.parametrize("text", ["40", "ms", "-3ms", "4 parsecs", "", None, "nan ms", "1e400s"])
def test_bad_durations_are_refused(text: object) -> None:
    with pytest.raises(UserError):
        units.parse_duration_ns(text)


@pytest.mark.parametrize("text", ["120%", "-1%", "half"])
def test_bad_fractions_are_refused(text: str) -> None:
    with pytest.raises(UserError):
        units.parse_fraction(text)


@given(st.integers(0, 10**13))
def test_duration_round_trip(value_ns: int) -> None:
    assert units.parse_duration_ns(units.format_duration(value_ns)) == value_ns


@given(st.integers(1, 10**10))
def test_rate_round_trip(value_bps: int) -> None:
    assert units.parse_rate_bps(units.format_rate(value_bps)) == pytest.approx(value_bps, rel=1e-9)


@given(st.integers(1, 10**9))
def test_size_round_trip(value_bytes: int) -> None:
    assert units.parse_size_bytes(units.format_size(value_bytes)) == value_bytes


@pytest.mark.parametrize(
    ("text", "remedy"), [("12MBps", "96mbit"), ("1.5 MB/s", "12mbit"), ("100kBps", "800kbit")]
)
def test_bytes_per_second_are_refused_with_the_rate_in_bits(text: str, remedy: str) -> None:
    with pytest.raises(UserError, match=f"write {remedy}"):
        units.parse_rate_bps(text)
