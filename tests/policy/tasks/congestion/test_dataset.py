from __future__ import annotations

import numpy as np
import pytest

from policy.model.config import ModelConfig
from policy.model.errors import ModelError
from policy.tasks.congestion import schema
from policy.tasks.congestion.dataset import CongestionSamples
from policy.tasks.congestion.fields import FIELDS
from policy.tasks.splits import SPLITS

pytestmark = pytest.mark.torch


@pytest.fixture
def table(dataset):
    return schema.read(dataset)


def test_history_stays_in_its_episode(table):
    samples = CongestionSamples(table, "train", ModelConfig())
    rows = table.filter(np.asarray(table["split"]) == "train")
    window, delivered = rows["window"].to_numpy(), rows["delivery_rate_bps"].to_numpy()
    indices = np.array([0, 5, 119, 120, 121, 300])
    inputs, _ = samples.batch(indices)
    column = FIELDS.index("delivery_rate_bps")
    for place, row in enumerate(indices):
        have = min(window[row] + 1, 20)
        assert inputs["valid"][place].sum() == have
        np.testing.assert_array_equal(
            inputs["windows"][place, 20 - have :, column], delivered[row - have + 1 : row + 1]
        )
        assert not inputs["windows"][place, : 20 - have].any()


def test_the_objective_chooses_the_label(table):
    indices = np.arange(50)
    near = CongestionSamples(table, "train", ModelConfig())
    cloned = CongestionSamples(table, "train", ModelConfig(objective="decision-transformer"))
    rows = table.filter(np.asarray(table["split"]) == "train").slice(0, 50)
    assert "return_to_go" not in near.batch(indices)[0]
    inputs, targets = cloned.batch(indices)
    np.testing.assert_array_equal(targets["action_log2"], rows["taken_log2"].to_numpy())
    np.testing.assert_array_equal(inputs["return_to_go"][:, -1], rows["return_to_go"].to_numpy())
    np.testing.assert_array_equal(
        near.batch(indices)[1]["action_log2"], rows["near_optimal_log2"].to_numpy()
    )


def test_splits_share_no_trace(table):
    seen = [len(CongestionSamples(table, split, ModelConfig())) for split in SPLITS]
    assert sum(seen) == table.num_rows
    assert min(seen) >= 2 * 120  # one trace of each of two families


def test_baselines(table):
    samples = CongestionSamples(table, "test", ModelConfig())
    assert set(samples.baselines) == {"hold", "gcc"}
    np.testing.assert_allclose(
        samples.baselines["gcc"], 0, atol=1e-6
    )  # the fixture's gcc keeps the estimate
    unknown = table.set_column(
        table.column_names.index("gcc_bps"), "gcc_bps", [[None] * table.num_rows]
    )
    assert set(CongestionSamples(unknown, "test", ModelConfig()).baselines) == {"hold"}


def test_empty_split_is_named(table):
    train = table.filter(np.asarray(table["split"]) == "train")
    with pytest.raises(ModelError, match="no rows in its test split"):
        CongestionSamples(train, "test", ModelConfig())


def test_what_flows_want_is_drawn_with_its_own_labels(table):
    indices = np.arange(300)
    asked = ModelConfig(encoder={"objective": True})
    inputs, targets = CongestionSamples(table, "train", asked).batch(indices)
    plain = CongestionSamples(table, "train", ModelConfig()).batch(indices)[1]["action_log2"]
    wanted, action = inputs["objective"], targets["action_log2"]
    assert 0 <= wanted.min() < 0.05 < 0.95 < wanted.max() <= 1
    assert (action[wanted > 0.5] >= plain[wanted > 0.5] - 1e-6).all()
    assert (action[wanted < 0.5] <= plain[wanted < 0.5] + 1e-6).all()
    assert (targets["overestimation_weight"][wanted < 0.5] > 1).all()
