"""What a flow wants, as text and as a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.objective import NAMES, format_objective, parse_objective


@given(st.sampled_from(sorted(NAMES)) | st.integers(0, 1000).map(lambda n: f"{n / 1000:g}"))
def test_text_and_number(text: str) -> None:
    objective = parse_objective(text)
    assert parse_objective(format_objective(objective)) == objective


@pytest.mark.parametrize("value", ["fast", "", "1.01", "-0.1", "nan", "inf", None, [], 2])
def test_what_is_no_objective(value: object) -> None:
    with pytest.raises(ValueError, match="neither latency, balanced, throughput nor within"):
        parse_objective(value)
