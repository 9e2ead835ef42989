"""Which tiers a configuration loads, and that their processes end."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy.errors import PolicyError
from policy.server.config import build
from policy.server.models import loaded
from policy.tasks.congestion.policies.gcc import Gcc
from policy.worker.policy import WorkerPolicy


def test_auto_with_a_model_that_does_not_load_is_the_light_tier_alone() -> None:
    with loaded(build({"models": {"llm": "nowhere"}}, "test")) as (config, tiers, note):
        assert (config.difficult, tiers) == (None, {})
        assert note.startswith("tier llm: no checkpoint folder 'nowhere'")


@pytest.mark.torch
def test_models_have_processes_and_end_with_the_context(gru: Path) -> None:
    settings = {
        "difficult": "gru",
        "tiers": ["gcc", "gru"],
        "models": {"gru": str(gru)},
        "device": "cpu",
    }
    with loaded(build(settings, "test")) as (config, tiers, note):
        assert (config.difficult, list(tiers), note) == ("gru", ["gru", "gcc"], "")
        assert isinstance(tiers["gcc"], Gcc)
        model = tiers["gru"]
        assert isinstance(model, WorkerPolicy)
        assert model._process.alive
    assert not model._process.alive


@pytest.mark.torch
def test_a_tier_that_was_named_must_load_and_leaves_no_process(
    gru: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(
        WorkerPolicy,
        "close",
        lambda tier, close=WorkerPolicy.close: (closed.append(tier.name), close(tier)),
    )
    settings = {"difficult": "gru", "tiers": ["mlp"], "models": {"gru": str(gru), "mlp": str(gru)}}
    with (
        pytest.raises(
            PolicyError, match=r"^tier mlp: .* holds a gru model; policy 'mlp' needs mlp$"
        ),
        loaded(build(settings | {"device": "cpu"}, "test")),
    ):
        pass
    assert closed == ["gru"]
