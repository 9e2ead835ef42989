from __future__ import annotations

import pytest
import torch

from policy.errors import PolicyError
from policy.model.model import PolicyModel
from policy.tasks.congestion.settings import LossConfig
from policy.tasks.registry import learned_task, task

pytestmark = pytest.mark.torch

KINDS = ["nioka", "gru", "mlp", "transformer"]


def tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", ["near-optimal", "decision-transformer"])
def test_every_kind_has_one_interface(tiny, inputs, kind, objective):
    config = tiny(kind=kind, objective=objective)
    model = PolicyModel(config).eval()
    out = model(tensors(inputs(config, 4)))
    assert out.shape == (4,)
    assert (out.abs() < 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_samples_do_not_mix(tiny, inputs, kind):
    config = tiny(kind=kind)
    model = PolicyModel(config).eval()
    arrays = inputs(config, 3)
    together = model(tensors(arrays))
    alone = [model(tensors({k: v[i : i + 1] for k, v in arrays.items()})) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_newest_window_matters(tiny, inputs, kind):
    config = tiny(kind=kind)
    model = PolicyModel(config).eval()
    before = tensors(inputs(config, 1))
    after = before | {"windows": before["windows"].clone()}
    after["windows"][:, -1] *= 1.5
    assert model(before) != model(after)


def test_gradients_reach_the_encoder_through_a_frozen_backbone(tiny, inputs):
    config = tiny(backbone={"lora": {"rank": 0}})
    model = PolicyModel(config)
    arrays = tensors(inputs(config, 8))
    model.task.loss(model(arrays), {"action_log2": torch.zeros(8)}, LossConfig()).backward()
    for name, value in model.named_parameters():
        if name.startswith("backbone."):
            assert value.grad is None, name
        elif "projectors" in name or "cnns" in name:
            assert value.grad.abs().sum() > 0, name


@pytest.mark.parametrize("source", ["architecture", "folder"])
def test_bfloat16_keeps_rotary_frequencies_exact(tiny, tmp_path, source):
    config = tiny()
    exact = PolicyModel(config).backbone.llm.rotary_emb.inv_freq.clone()
    if source == "folder":
        from transformers import AutoConfig, AutoModel

        shape = dict(config.backbone.architecture)
        AutoModel.from_config(
            AutoConfig.for_model(shape.pop("model_type"), **shape)
        ).save_pretrained(tmp_path)
        config = tiny(backbone={"architecture": None, "id": str(tmp_path)})
    model = PolicyModel(config, torch.bfloat16).for_inference("cpu", torch.bfloat16)
    assert model.backbone.dtype == torch.bfloat16
    torch.testing.assert_close(model.backbone.llm.rotary_emb.inv_freq, exact)


def test_overestimation_costs_more():
    loss = learned_task("congestion").loss
    target = {"action_log2": torch.zeros(1)}
    high, low = torch.tensor([0.5]), torch.tensor([-0.5])
    even, uneven = LossConfig(), LossConfig(overestimation_weight=4.0)
    assert loss(high, target, even) == loss(low, target, even) == 0.25
    assert loss(high, target, uneven) == 1.0
    assert loss(low, target, uneven) == 0.25


def test_measures_are_relative_errors_of_the_rate():
    import numpy as np

    measures = learned_task("congestion").measures(
        np.float32([1.0, -1.0, 0.0]), {"action_log2": np.float32([0.0, 0.0, 0.0])}
    )
    assert measures["mape"].tolist() == [1.0, 0.5, 0.0]
    assert measures["overestimation"].tolist() == [1.0, 0.0, 0.0]
    assert measures["underestimation"].tolist() == [0.0, 0.5, 0.0]


def test_unknown_task():
    with pytest.raises(PolicyError, match="known: abr, cjs, congestion"):
        task("poetry")
