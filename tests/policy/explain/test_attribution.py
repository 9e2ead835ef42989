"""Attribution and counterfactuals of policies whose reasons are known."""

from __future__ import annotations

import numpy as np
import pytest

from policy.api import FlowBatch
from policy.explain.attribution import FIELD_OF, agreement, by_size, deletion, occlusion
from policy.explain.counterfactual import NOTABLE, nearest
from policy.explain.neutral import CALM, EXPLAINED, calm_windows, cells, with_calm
from policy.tasks.congestion.fields import FIELDS, HISTORY, F
from policy.tasks.congestion.history import with_estimates

QUEUE = EXPLAINED.index("queueing_delay_ns")


def flows(queue_ms: list[float], young: int = 0) -> FlowBatch:
    n = len(queue_ms)
    windows = np.zeros((n, HISTORY, len(FIELDS)))
    windows[:, :, F["queueing_delay_ns"]] = np.array(queue_ms)[:, None] * 1e6
    windows[:, :, F["rtt_mean_ns"]] = 40e6 + windows[:, :, F["queueing_delay_ns"]]
    windows[:, :, F["delivery_rate_bps"]] = 4e6
    windows[:, :, F["duration_ns"]] = 100e6
    windows[:, :, F["bandwidth_bps"]], windows[:, :, F["min_rtt_ns"]] = 5e6, 40e6
    valid = np.ones((n, HISTORY), bool)
    valid[:, :young], windows[:, :young] = False, 0.0
    return with_estimates(np.arange(n), windows, valid, np.full(n, 1448.0))


def by_newest_queue(batch: FlowBatch) -> np.ndarray:
    """A policy that slows down by an octave for 100 ms of queue in the newest window."""
    return -batch.windows[:, -1, F["queueing_delay_ns"]] / 100e6


def test_occlusion_blames_what_the_policy_reads_and_nothing_else() -> None:
    parts = occlusion(flows([80.0, 20.0]), by_newest_queue)
    assert parts.shape == (2, len(EXPLAINED), HISTORY // 4)
    assert parts[:, QUEUE, -1] == pytest.approx([-0.8, -0.2])
    parts[:, QUEUE, -1] = 0
    assert not parts.any()


def test_the_parts_that_count_move_the_action_sooner_than_others() -> None:
    batch = flows([80.0])
    order = by_size(occlusion(batch, by_newest_queue))
    assert deletion(batch, by_newest_queue, order)[0] == pytest.approx(np.full(10, 0.8))
    last = deletion(batch, by_newest_queue, order[:, ::-1])[0]
    assert last[:-1] == pytest.approx(np.zeros(9))
    assert last[-1] == pytest.approx(0.8)


def test_calm_flows_have_nothing_to_explain() -> None:
    batch = flows([80.0], young=8)
    calm = with_calm(batch, np.ones((1, len(cells(HISTORY))), bool))
    np.testing.assert_array_equal(calm.windows, calm_windows(batch))
    assert not calm.windows[:, :8].any()
    assert not occlusion(calm, by_newest_queue).any()


def test_the_nearest_change_is_said_in_words() -> None:
    lower, higher = sorted(nearest(flows([40.0]), by_newest_queue), key=lambda each: each.change)
    assert lower.change <= -NOTABLE
    assert higher.change >= NOTABLE
    assert higher.words == "with 30 ms less queueing delay it would have asked for 23% more"
    assert lower.edit == higher.edit == "queueing delay"


def test_a_policy_that_never_changes_has_no_counterfactual() -> None:
    assert nearest(flows([40.0]), lambda batch: np.zeros(len(batch))) == []


def test_attributions_agree_with_themselves() -> None:
    parts = occlusion(flows([80.0, 10.0]), by_newest_queue)
    assert agreement(parts, 2 * parts) == pytest.approx(1.0)
    assert np.isnan(agreement(parts, np.zeros_like(parts)))


def test_every_explained_field_is_one_of_a_window() -> None:
    assert set(CALM) <= set(FIELDS)
    assert {field for field in FIELD_OF.values() if field} == set(CALM) - {"min_rtt_ns"}
