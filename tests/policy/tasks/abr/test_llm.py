"""The language model for adaptive bitrate streaming on a toy backbone: trained in every way,
written, read again and exported.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from policy.tasks.abr.card import card  # noqa: E402
from policy.tasks.abr.evaluate import make_policy  # noqa: E402
from policy.tasks.abr.export import LeanScorer, export  # noqa: E402
from policy.tasks.abr.learned import (  # noqa: E402
    load_policy,
    make_net,
    save_net,
    take_encoder,
)
from policy.tasks.abr.llm import LlmScorer  # noqa: E402
from policy.tasks.abr.portable import Portable  # noqa: E402
from policy.tasks.abr.tensor_observation import observe  # noqa: E402
from policy.tasks.abr.training.material import material_of  # noqa: E402
from policy.tasks.abr.training.rounds import Settings, train  # noqa: E402

LADDER = np.array([300.0, 750.0, 1200.0])
TRACES = [
    Bandwidth(f"t{i}", np.arange(101.0), np.full(101, rate))
    for i, rate in enumerate([0.4, 0.6, 1.0, 2.0, 3.0])
]


def video(ladder: np.ndarray = LADDER) -> Video:
    return Video("test", 4000, ladder, np.tile(ladder * 500, (6, 1)))


def stirred(net: torch.nn.Module) -> torch.nn.Module:
    """The network with something to correct: a fresh one scores by plans alone."""
    torch.nn.init.normal_(net.score[-1].weight)
    return net


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a Llama of two narrow blocks."""
    from transformers import AutoModel, LlamaConfig

    folder = tmp_path_factory.mktemp("toy")
    torch.manual_seed(7)
    shape = LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=16,
        max_position_embeddings=64,
    )
    AutoModel.from_config(shape).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("objective", "pretrained"),
    [("regret", True), ("regret", False), ("argmax", True), ("return", True)],
)
def test_it_learns_in_every_way_and_survives_its_file(
    backbone: str, tmp_path: Path, objective: str, pretrained: bool
) -> None:
    net = make_net("llm", 8, objective == "return", pretrained, 2, backbone)
    frozen = {name: value.clone() for name, value in net.named_parameters() if "lora" not in name}
    settings = Settings(
        objective=objective, rounds=1, sessions=6, steps=3, batch=8, horizon=2, learning_rate=0.01
    )
    out = tmp_path / "llm.safetensors"
    train(net, material_of(TRACES, [video()]), settings, out)
    for name, value in net.named_parameters():
        if name.startswith("backbone") and "lora" not in name:
            assert torch.equal(value, frozen[name]), name
    sessions = start(video(), pack(TRACES))
    again = load_policy(out, backbone=backbone)
    assert torch.equal(again.scores(sessions), load_policy(out, backbone=backbone).scores(sessions))
    if objective != "return":
        save_net(net, out)
        again = load_policy(out, backbone=backbone)
        assert torch.allclose(again.net(*observe(sessions)), net(*observe(sessions)), atol=1e-6)
    # The random twin of these weights is another model.
    twin = tmp_path / "twin.safetensors"
    save_net(make_net("llm", 8, objective == "return", not pretrained, 2, backbone), twin)
    assert card(out).split("frozen weights")[1].split("\n")[0] not in card(twin)


@pytest.mark.parametrize("levels", [2, 3, 7])
def test_the_lean_pass_is_the_same_function(backbone: str, levels: int) -> None:
    torch.manual_seed(1)
    net = stirred(make_net("llm", 8, layers=2, backbone=backbone)).eval()
    assert isinstance(net, LlmScorer)
    sessions = start(video(np.geomspace(300, 5000, levels)), pack(TRACES))
    with torch.inference_mode():
        expected = net(*observe(sessions))
        found = LeanScorer(net)(*observe(sessions))
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_the_exported_file_answers_without_the_backbone(backbone: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    torch.manual_seed(1)
    net = stirred(make_net("llm", 8, layers=2, backbone=backbone)).eval()
    path = tmp_path / "llm.safetensors"
    save_net(net, path)
    file = export(path, backbone)
    assert "for CPUs" in card(path)
    policy = make_policy(str(path))
    assert isinstance(policy, Portable)
    for levels, n in ((2, 1), (6, 5)):
        sessions = start(video(np.geomspace(300, 5000, levels)), pack(TRACES[:n]))
        with torch.inference_mode():
            expected = net(*observe(sessions)).numpy()
        found = policy.scores(sessions)
        assert found.shape == (n, levels)
        np.testing.assert_allclose(found, expected, atol=1e-3)
    save_net(make_net("llm", 8, layers=2, backbone=backbone), path)
    with pytest.raises(PolicyError, match=f"{file.name}: made of another checkpoint"):
        make_policy(str(path))


def test_an_encoder_is_taken_from_a_small_network(backbone: str, tmp_path: Path) -> None:
    small = make_net("mlp", 8)
    save_net(small, tmp_path / "mlp.safetensors")
    net = make_net("llm", 8, layers=1, backbone=backbone)
    take_encoder(net, tmp_path / "mlp.safetensors")
    shared, by_level = observe(start(video(), pack(TRACES)))
    taken, own = (one.get_submodule("encoder")(shared, by_level)[0] for one in (net, small))
    assert torch.equal(taken, own)
    with pytest.raises(PolicyError, match="use the same --width"):
        take_encoder(make_net("mlp", 16), tmp_path / "mlp.safetensors")
