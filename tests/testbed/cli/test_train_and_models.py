"""The commands `train` and `models`, on a checkpoint of a tiny control."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from policy.errors import PolicyError
from testbed.cli.models import models
from testbed.cli.train import train

pytestmark = pytest.mark.torch
pytest.importorskip("torch")


@pytest.fixture
def saved(tmp_path):
    from policy.model import checkpoint
    from policy.model.config import ModelConfig
    from policy.model.model import PolicyModel

    config = ModelConfig(kind="mlp", control={"hidden": 8, "layers": 1}, encoder={"channels": 2})
    record = {"seed": 0, "seeds": {"0": {"test": {"all": {"mape": 0.1234}}}}}
    checkpoint.save(
        tmp_path / "m" / "tiny", PolicyModel(config), card="# A tiny card\n", training=record
    )
    return tmp_path / "m" / "tiny"


def test_list_finds_checkpoints_below_a_folder(saved):
    result = CliRunner().invoke(models, ["list", str(saved.parent)], terminal_width=200)
    assert result.exit_code == 0, result.output
    assert "mlp" in result.output
    assert "12.3 %" in result.output


def test_show_prints_the_card(saved):
    result = CliRunner().invoke(models, ["show", str(saved)])
    assert result.exit_code == 0
    assert "A tiny card" in result.output


def test_show_names_a_mistake():
    result = CliRunner().invoke(models, ["show", "no-such-model"])
    assert isinstance(result.exception, PolicyError)
    assert "no-such-model" in str(result.exception)


def test_dry_run_prints_all_settings(tmp_path):
    arguments = [
        str(tmp_path),
        "--model",
        "gru",
        "--set",
        "batch_size=7",
        "--out",
        "x",
        "--dry-run",
    ]
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 0, result.output
    settings = yaml.safe_load(result.output)
    assert settings["batch_size"] == 7
    assert settings["model"]["kind"] == "gru"


def test_train_names_a_folder_that_is_no_dataset(tmp_path):
    result = CliRunner().invoke(
        train, [str(tmp_path), "--model", "mlp", "--out", str(tmp_path / "out")]
    )
    assert isinstance(result.exception, PolicyError)
    assert "not an experience dataset" in str(result.exception)
