"""What every light tier must be: finite and positive for whatever a window holds, and independent
per flow.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.api import FlowBatch, PolicyContext
from policy.errors import PolicyError
from policy.registry import LIGHT, create, full_name, names
from policy.tasks.congestion.fields import FIELDS

RULES = ("persistence", "gcc", "bbr-lite", "aimd", "hold")
values = st.one_of(st.just(0.0), st.floats(1e-6, 1e12))


@st.composite
def batches(draw: st.DrawFn) -> FlowBatch:
    rows = draw(
        st.lists(
            st.lists(values, min_size=len(FIELDS), max_size=len(FIELDS)), min_size=2, max_size=4
        )
    )
    n = len(rows)
    windows = np.array(rows)[:, None, :]
    windows[:, 0, 0] = 100e6  # a window lasts
    estimates = [
        np.array(draw(st.lists(st.floats(1e3, 1e11), min_size=n, max_size=n))) for _ in range(3)
    ]
    return FlowBatch(np.arange(n), windows, np.ones((n, 1), bool), *estimates)


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=30, deadline=None)
@given(st.lists(batches(), min_size=1, max_size=3))
def test_actions_are_finite_and_positive(name: str, sequence: list[FlowBatch]) -> None:
    tier = create(name, PolicyContext(4))
    for step, batch in enumerate(sequence):
        actions = tier.decide(batch, step * 100_000_000)
        assert np.isfinite(actions.pacing_rate_bps).all()
        assert (actions.pacing_rate_bps > 0).all()
        assert (actions.cwnd_packets >= 2).all()
        assert np.isfinite(actions.cwnd_packets).all()


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=20, deadline=None)
@given(batches())
def test_the_order_of_flows_does_not_matter(name: str, batch: FlowBatch) -> None:
    order = np.arange(len(batch))[::-1].copy()
    forward = create(name, PolicyContext(4)).decide(batch, 0)
    backward = create(name, PolicyContext(4)).decide(batch.only(order), 0)
    np.testing.assert_array_equal(forward.pacing_rate_bps[order], backward.pacing_rate_bps)
    np.testing.assert_array_equal(forward.cwnd_packets[order], backward.cwnd_packets)


def test_each_tier_is_called_by_its_name() -> None:
    assert set(RULES) <= set(LIGHT) <= set(names())
    assert {name: create(name, PolicyContext(1)).name for name in RULES} == {
        name: name for name in RULES
    }


def test_unknown_names_and_aliases() -> None:
    with pytest.raises(PolicyError, match=r"no policy 'vegas'; known: persistence, "):
        create("vegas", PolicyContext(1))
    with pytest.raises(PolicyError, match=r"no policy 'bbrlite'; did you mean bbr-lite\?"):
        create("bbrlite", PolicyContext(1))
    assert full_name("light") == "persistence"
