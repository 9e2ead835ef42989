"""Variants are trained once each, and their results read; the training itself is a fake here."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

pytest.importorskip("torch")

from experiments.congestion import pretrained, scale
from experiments.congestion.seeds import difference_ci95, mean_ci95
from experiments.congestion.variants import Budget, Variant, folder_of, measures, train_all

BUDGET = Budget(None, ("max_steps=3",), (0, 1))


def run_record(mape: float, loss: float) -> dict[str, Any]:
    errors = {"mape": mape, "overestimation": mape / 2, "underestimation": mape / 2}
    return {"progress": {"best_loss": loss}, "test": {"all": errors}}


class FakeTrainer:
    """Writes what a training leaves."""

    def __init__(self, failing: str = "") -> None:
        self.trained: list[tuple[str, int]] = []
        self.failing = failing

    def __call__(
        self, dataset: Path, variant: Variant, budget: Budget, seed: int, folder: Path
    ) -> None:
        if variant.name == self.failing:
            raise click.ClickException("status 1")
        self.trained.append((variant.name, seed))
        config = budget.train_config(variant, seed)
        record = {
            "model": config.model.model_dump(mode="json"),
            "training": {
                "settings": config.model_dump(mode="json", exclude={"model"}),
                "seeds": {str(seed): run_record(0.2 + 0.01 * seed, 0.3)},
            },
        }
        (folder / "checkpoint").mkdir(parents=True)
        (folder / "checkpoint" / "config.json").write_text(json.dumps(record))


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    variants = [Variant("small", settings=("model.backbone.layers=4",)), Variant("gru", kind="gru")]
    first = FakeTrainer(failing="gru")
    with pytest.raises(click.ClickException, match="2 of 4 trainings failed"):
        train_all(tmp_path, variants, BUDGET, tmp_path, 2, first)
    assert sorted(first.trained) == [("small", 0), ("small", 1)]
    second = FakeTrainer()
    results = train_all(tmp_path, variants, BUDGET, tmp_path, 2, second)
    assert sorted(second.trained) == [("gru", 0), ("gru", 1)]
    assert measures(results, "small", "mape") == pytest.approx([0.2, 0.21])


def test_other_settings_are_refused(tmp_path: Path) -> None:
    variants = [Variant("gru", kind="gru")]
    train_all(tmp_path, variants, BUDGET, tmp_path, 1, FakeTrainer())
    other = Budget(None, ("max_steps=4",), (0,))
    with pytest.raises(click.ClickException, match="other settings"):
        train_all(tmp_path, variants, other, tmp_path, 1, FakeTrainer())


def test_a_variants_own_settings_win() -> None:
    budget = Budget(None, ("model.backbone.layers=2",), (0,))
    config = budget.train_config(Variant("x", settings=("model.backbone.layers=8",)), 5)
    assert config.model.backbone.layers == 8
    assert config.seeds == (5,)
    assert folder_of(Path("out"), Variant("pretrained, LoRA"), 1).name == "seed-1"


def test_intervals_by_hand() -> None:
    estimate = mean_ci95([1.0, 2.0, 3.0])
    assert estimate.mean == 2
    assert estimate.ci95 == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)
    assert mean_ci95([1.0]).ci95 is None
    constant = difference_ci95([2.0, 3.0], [1.0, 2.0])
    assert constant.mean == 1
    assert constant.ci95 == (1.0, 1.0)
    assert constant.text(100, 0, "+") == "+100 [+100, +100]"


def test_scale_says_which_sizes_are_worse(tmp_path: Path) -> None:
    def runs(*mapes: float) -> dict[str, Any]:
        return {str(seed): run_record(mape, 0.3) for seed, mape in enumerate(mapes)}

    engine = {
        "parameters": 1e6,
        "batches": {"1": {"p50_ms": 1.0, "p99_ms": 2.0, "decisions_per_s": 900.0}},
    }
    results = {
        "about": {"device": "cpu"},
        "seeds": [0, 1, 2],
        "batches": [1],
        "largest": "30 blocks",
        "variants": {
            "4 blocks": runs(0.30, 0.31, 0.32),
            "8 blocks": runs(0.21, 0.20, 0.22),
            "30 blocks": runs(0.2, 0.21, 0.22),
            "gru": runs(0.2, 0.2, 0.2),
        },
        "engines": dict.fromkeys(
            ("4 blocks", "8 blocks", "30 blocks", "gru", "larger, random"), engine
        ),
    }
    assert "not up to 4 blocks: 4 blocks worse than 30 blocks" in scale.verdict(results)
    scale.write(tmp_path, results)
    assert "| 4 blocks | 1.0 | 31.0 [28.5, 33.5] | +10.00 [+10.00, +10.00] |" in scale.tables(
        results
    )
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")
    del results["variants"]["4 blocks"]
    assert scale.verdict(results).startswith("Early saturation: yes")


def test_pretrained_reports_contrasts(tmp_path: Path) -> None:
    runs = {
        variant.name: {
            str(seed): run_record(0.2 + 0.01 * place + 0.001 * seed, 0.3) for seed in (0, 1)
        }
        for place, variant in enumerate(pretrained.VARIANTS)
    }
    results = {"about": {"device": "cpu"}, "seeds": [0, 1], "variants": runs}
    pretrained.write(tmp_path, results)
    text = (tmp_path / "table.md").read_text()
    assert "| pretrained - random, with LoRA | -2.00 [-2.00, -2.00] |" in text
    assert len(pretrained.CONTRASTS) == sum(line.endswith("| yes |") for line in text.splitlines())
