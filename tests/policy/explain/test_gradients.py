"""Integrated gradients through a small model: the parts add up to the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policy.explain.neutral import calm_windows
from policy.model.info import resolve
from policy.tasks.congestion.fields import FIELDS, HISTORY, F
from policy.tasks.congestion.history import with_estimates

torch = pytest.importorskip("torch")


@pytest.mark.torch
def test_the_parts_add_up_to_the_difference_from_calm() -> None:
    from policy.explain.attribution import integrated_gradients
    from policy.explain.policies import acting

    windows = np.zeros((1, HISTORY, len(FIELDS)))
    windows[:, :, F["queueing_delay_ns"]] = 60e6
    windows[:, :, F["rtt_mean_ns"]] = windows[:, :, F["rtt_min_ns"]] = 100e6
    windows[:, :, F["srtt_ns"]] = 90e6
    windows[:, :, F["delivery_rate_bps"]] = 4e6
    windows[:, :, F["duration_ns"]], windows[:, :, F["acks"]] = 100e6, 20
    windows[:, :, F["bandwidth_bps"]], windows[:, :, F["min_rtt_ns"]] = 5e6, 40e6
    valid = np.ones((1, HISTORY), bool)
    batch = with_estimates(np.arange(1), windows, valid, np.full(1, 1448.0))
    act = acting("mlp", None)
    parts = integrated_gradients(batch, resolve("mlp"))
    whole = act(batch) - act(replace(batch, windows=calm_windows(batch)))
    assert abs(float(whole[0])) > 0.05
    np.testing.assert_allclose(parts.sum(axis=(1, 2)), whole, atol=0.02)
