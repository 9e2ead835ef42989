"""How a checkpoint is held against rules and the optimum, cell by cell."""

import numpy as np
import pytest

from experiments.abr.cells import LIMIT, MPC, gap_closed, tuned
from experiments.abr.optima import spread


def test_the_gap_is_closed_by_what_lies_between_rule_and_optimum():
    rule, own = np.array([1.0, 0.0, 2.0]), np.array([1.5, 9.0, 2.0])
    # Of trace 1 no optimum is known: it does not count.
    assert gap_closed(own, rule, {0: 2.0, 2: 3.0}, 0.5) == pytest.approx(0.25)


def test_where_the_rule_is_the_optimum_no_gap_is_closed():
    rule = np.array([1.0, 2.0])
    assert np.isnan(gap_closed(rule + 1, rule, {0: 1.0, 1: 2.001}, 0.01))


def test_what_knows_the_future_is_no_rule_that_is_tuned():
    played = {rule: [float(at), 1.0] for at, rule in enumerate(MPC)} | {LIMIT: [99.0, 99.0]}
    assert tuned(played) == MPC[-1]


def test_traces_are_spread_over_a_set():
    assert spread(10, 3) == [0, 4, 9]
    assert spread(2, 5) == [0, 1]
