"""Trees: what they fit, how large they grow, and that a policy file says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.api import PolicyContext
from policy.explain.distil import BLOCK, distil, held_out, r2, rules, write_policy
from policy.explain.readable import READABLE, readable
from policy.explain.tree import LEAF, fit
from policy.registry import create
from policy.tasks.congestion.fields import FIELDS, HISTORY, F
from policy.tasks.congestion.history import with_estimates


def test_a_step_is_found_where_it_is() -> None:
    features = np.stack([np.zeros(200), np.arange(200.0)], axis=1)
    tree = fit(features, np.where(features[:, 1] < 100, -1.0, 3.0), leaves=2, smallest=5)
    assert tree.feature.tolist() == [1, LEAF, LEAF]
    assert tree.cut[0] == pytest.approx(99, abs=3)
    assert tree.predict(np.array([[0.0, 5.0], [0.0, 190.0]])) == pytest.approx([-1, 3], abs=0.15)


@settings(max_examples=25)
@given(st.integers(1, 31), st.integers(1, 60), st.integers(0, 1000))
def test_leaves_are_as_few_and_as_full_as_asked_and_hold_their_means(
    leaves: int, smallest: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    features, target = random.normal(size=(300, 3)), random.normal(size=300)
    tree = fit(features, target, leaves, smallest)
    assert tree.leaves <= leaves
    leaf = tree.leaf(features)
    for node in np.unique(leaf).tolist():
        assert tree.feature[node] == LEAF
        assert tree.count[node] == np.count_nonzero(leaf == node)
        assert tree.value[node] == pytest.approx(target[leaf == node].mean())
        assert tree.count[node] >= min(smallest, 300)


def test_more_leaves_explain_no_less() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(500, 4))
    target = np.sin(2 * features[:, 0]) + features[:, 1]
    explained = [r2(fit(features, target, n).predict(features), target) for n in (1, 4, 16, 31)]
    assert explained[0] == pytest.approx(0)
    assert explained == sorted(explained)
    assert explained[-1] > 0.8


def test_no_samples_are_no_tree() -> None:
    with pytest.raises(ValueError, match="no samples"):
        fit(np.empty((0, 2)), np.empty(0))


def test_windows_are_held_out_in_blocks() -> None:
    flow = np.repeat([0, 1, 2], 4 * BLOCK)
    out = held_out(flow)
    assert out.mean() == pytest.approx(0.25)
    assert np.count_nonzero(np.diff(out.astype(int)) == 1) == 3


def test_too_few_windows_are_said_to_be() -> None:
    with pytest.raises(ValueError, match="60 windows are too few"):
        distil(np.zeros((60, 2)), np.zeros(60), np.zeros(60, np.int64))


def histories(n: int, seed: int = 0):
    """Flows with queues between 0 and 100 ms."""
    random = np.random.default_rng(seed)
    windows = np.zeros((n, HISTORY, len(FIELDS)))
    windows[:, :, F["queueing_delay_ns"]] = random.uniform(0, 100e6, (n, 1))
    windows[:, :, F["delivery_rate_bps"]] = 5e6
    windows[:, :, F["bandwidth_bps"]], windows[:, :, F["min_rtt_ns"]] = 5e6, 40e6
    windows[:, :, F["since_loss_ns"]] = -1
    return with_estimates(np.arange(n), windows, np.ones((n, HISTORY), bool), np.full(n, 1448.0))


def test_a_policy_file_asks_for_what_the_tree_says(tmp_path: Path) -> None:
    batch = histories(400)
    queue = batch.windows[:, -1, F["queueing_delay_ns"]]
    action = np.where(queue > 50e6, -0.5, 0.5)
    features = readable(batch)
    assert features.shape == (400, len(READABLE))
    assert np.isfinite(features).all()
    tree = distil(features, action, np.repeat(np.arange(2), 200))
    assert tree.held_out_r2 > 0.9
    assert "queueing delay" in rules(tree.tree)
    write_policy(tmp_path / "tree.py", tree, "a test", {"rate_gain": 1.0})
    policy = create(f"{tmp_path / 'tree.py'}:Tree", PolicyContext(400))
    asked = policy.decide(batch, 0).cwnd_packets
    assert (asked[queue > 55e6] < asked[queue < 45e6].min()).all()
