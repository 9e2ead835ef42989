from __future__ import annotations

import pytest
import torch

from policy.tasks.congestion.encoder import WindowEncoder, tokens_per_step
from policy.tasks.congestion.features import GROUPS
from policy.tasks.congestion.settings import steps

pytestmark = pytest.mark.torch


def tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize(
    ("changes", "per_step"),
    [
        ({}, 1),
        ({"encoder": {"action_token": True}}, 2),
        ({"objective": "decision-transformer", "encoder": {"action_token": True}}, 3),
        ({"encoder": {"state_tokens": "group"}}, len(GROUPS)),
    ],
)
def test_token_layout(tiny, inputs, changes, per_step):
    config = tiny(**changes)
    encoder = WindowEncoder(config, 24, scale=0.5)
    tokens = encoder(tensors(inputs(config, 3)))
    assert tokens_per_step(config) == per_step
    assert tokens.shape == (3, steps(config) * per_step, 24)
    assert tokens.square().mean().sqrt().item() == pytest.approx(0.5, rel=0.05)


def test_a_step_sees_no_later_window(tiny, inputs):
    config = tiny()
    encoder = WindowEncoder(config, 24, scale=1.0)
    before = tensors(inputs(config, 1))
    after = {name: value.clone() for name, value in before.items()}
    after["windows"][:, -1] *= 1.5
    changed = (encoder(before) - encoder(after)).abs().amax(-1)[0]
    assert (changed[:-1] == 0).all()
    assert changed[-1] > 0


def test_return_to_go_reaches_the_tokens(tiny, inputs):
    config = tiny(objective="decision-transformer")
    encoder = WindowEncoder(config, 24, scale=1.0)
    low = tensors(inputs(config, 1))
    high = low | {"return_to_go": low["return_to_go"] + 1}
    changed = (encoder(low) - encoder(high)).abs().amax(-1)[0]
    assert (changed[0::2] > 0).all()  # [return-to-go, state] per step
    assert (changed[1::2] == 0).all()


def test_history_must_be_whole_patches(tiny):
    with pytest.raises(ValueError, match="must be a multiple of"):
        tiny(history=10)


def test_what_the_flow_wants_reaches_every_token_once_it_is_trained(tiny, inputs):
    config = tiny(encoder={"objective": True})
    encoder = WindowEncoder(config, 24, scale=1.0)
    latency = tensors(inputs(config, 1)) | {"objective": torch.zeros(1)}
    throughput = latency | {"objective": torch.ones(1)}
    torch.testing.assert_close(encoder(latency), encoder(throughput))
    torch.nn.init.normal_(encoder.objective.weight)
    assert ((encoder(latency) - encoder(throughput)).abs().amax(-1) > 0).all()
