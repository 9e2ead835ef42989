from __future__ import annotations

import numpy as np
import pytest

from policy.model import checkpoint
from policy.model.errors import ModelError
from policy.training.config import TrainConfig
from policy.training.run import train

pytestmark = pytest.mark.torch


def settings(kind="mlp", **changes):
    model = {
        "kind": kind,
        "control": {"hidden": 16, "layers": 1, "heads": 2},
        "encoder": {"channels": 4},
    }
    defaults = {
        "max_steps": 30,
        "evaluate_every": 10,
        "learning_rate": 3e-3,
        "warmup_steps": 5,
        "seeds": [0, 1],
    }
    return TrainConfig.model_validate(
        defaults | changes | {"model": model | changes.pop("model", {})}
    )


def test_all_seeds_best_on_validation_and_card(dataset, tmp_path):
    gru = train(dataset, settings("gru", seeds=[0]), tmp_path / "gru")
    seen = set()
    folder = train(
        dataset,
        settings(),
        tmp_path / "mlp",
        compare=[gru],
        on_progress=lambda seed, p: seen.add(seed),
    )
    assert folder == tmp_path / "mlp" / "checkpoint"
    assert seen == {0, 1}
    info = checkpoint.load(folder)[1]
    losses = {int(s): r["progress"]["best_loss"] for s, r in info.training["seeds"].items()}
    assert info.training["seed"] == min(losses, key=losses.get)
    card = (folder / "README.md").read_text()
    table = {
        tuple(c.strip() for c in line.split("|")[1:3]): line
        for line in card.splitlines()
        if "|" in line
    }
    for family in ("all", "even", "odd"):
        for policy in ("mlp", "gru (checkpoint)", "hold", "gcc"):
            assert (family, policy) in table
    over, under, mape = (
        np.mean([info.training["seeds"][str(info.training["seed"])]["test"]["all"][name]])
        for name in ("overestimation", "underestimation", "mape")
    )
    assert over + under == pytest.approx(mape)
    assert f"{100 * mape:.1f}" in table[("all", "mlp")]


def test_decision_transformer_keeps_its_target_return(dataset, tmp_path):
    config = settings(seeds=[0], max_steps=5)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"objective": "decision-transformer"})}
    )
    info = checkpoint.read_info(train(dataset, config, tmp_path))
    assert info.target_return is not None
    assert 0 < info.target_return <= 1


def test_compare_needs_a_checkpoint(dataset, tmp_path):
    with pytest.raises(ModelError, match="has no config"):
        train(dataset, settings(seeds=[0], max_steps=2), tmp_path / "out", compare=[tmp_path])
