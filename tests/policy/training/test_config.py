from __future__ import annotations

import pytest

from policy.model.errors import ModelError
from policy.training.config import TrainConfig, load_config

pytestmark = pytest.mark.torch


def test_file_then_kind_then_assignments(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("batch_size: 8\nmodel:\n  kind: gru\n  encoder: {patch: 2}\n")
    config = load_config(file, ("model.encoder.channels=16", "seeds=[5]"), "mlp")
    assert config.batch_size == 8
    assert config.model.kind == "mlp"
    assert (config.model.encoder.patch, config.model.encoder.channels) == (2, 16)
    assert config.seeds == (5,)


def test_defaults():
    assert load_config(None) == TrainConfig()


def test_what_is_printed_can_be_read_back(tmp_path):
    import yaml

    config = load_config(None, ("model.backbone.layers=4",), "nioka")
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_config(file) == config


@pytest.mark.parametrize(
    ("text", "assignments", "message"),
    [
        ("batch_size: -1", (), "s.yaml: batch_size"),
        ("bach_size: 1", (), "s.yaml: unknown key 'bach_size'; did you mean batch_size"),
        ("- 1", (), "is a mapping of keys to values"),
        ("a: [", (), "s.yaml"),
        ("", ("clip",), "--set clip: expected key=value"),
        ("clip: 1", ("clip.x=1",), "clip is not a group"),
        ("model: {history: 7}", (), "history"),
    ],
)
def test_mistakes_are_named(tmp_path, text, assignments, message):
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(ModelError, match=message):
        load_config(file, assignments)
