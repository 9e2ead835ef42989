"""A task in one file: choose the candidate whose features fit the wanted ones best.

Every sample has one to five candidates; the head scores each at its own output position.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError
from policy.tasks.base import (
    ActionSpec,
    ArraySpec,
    InputSpec,
    LearnedTask,
    Measure,
    Settings,
)

CANDIDATES, FEATURES = 5, 2


@dataclass(frozen=True)
class Choices:
    """What a policy sees: wanted [n, FEATURES], candidates [n, CANDIDATES, FEATURES], exists."""

    wanted: NDArray[np.float64]
    candidates: NDArray[np.float64]
    exists: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.wanted)


@dataclass(frozen=True)
class Chosen:
    candidate: NDArray[np.int64]


class Encoding(Settings):
    width: int = 16


class Serving(Settings):
    offset: int = 0


def draw(seed: int, count: int) -> Choices:
    rng = np.random.default_rng(seed)
    exists = np.arange(CANDIDATES) < rng.integers(1, CANDIDATES + 1, count)[:, None]
    candidates = rng.uniform(-1, 1, (count, CANDIDATES, FEATURES)) * exists[..., None]
    return Choices(rng.uniform(-1, 1, (count, FEATURES)), candidates, exists)


def best(choices: Choices) -> NDArray[np.int64]:
    distance = np.square(choices.candidates - choices.wanted[:, None]).sum(-1)
    return np.where(choices.exists, distance, np.inf).argmin(1)


class Samples:
    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._best = best(choices)
        self.families = np.where(choices.exists.sum(1) > 2, "many", "few")
        first = np.where(choices.exists, np.float32(0), np.float32(-np.inf))
        first[:, 0] = 1
        self.baselines = {"first": first.astype(np.float32)}

    def __len__(self) -> int:
        return len(self._choices)

    def batch(self, indices: NDArray[np.int64]) -> tuple[dict[str, Any], dict[str, Any]]:
        chosen = Choices(*(getattr(self._choices, name)[indices] for name in _ARRAYS))
        return ToyTask().model_inputs(chosen, None, None), {"best": self._best[indices]}

    def target_return(self) -> float:
        return 1.0


class Recorded:
    def __init__(self, folder: Path) -> None:
        try:
            self._count = int(json.loads((folder / "toy.json").read_text())["count"])
        except (OSError, ValueError, KeyError):
            raise PolicyError(f"{folder} holds no toy.json") from None

    @property
    def about(self) -> dict[str, Any]:
        return {"rows": self._count, "traces": 3, "families": ["few", "many"]}

    def samples(self, split: str, config: Any) -> Samples:
        return Samples(draw(("train", "validation", "test").index(split), self._count))


_ARRAYS = ("wanted", "candidates", "exists")


class ToyTask(LearnedTask):
    """[wanted][candidates] in, a score per candidate out."""

    name = "toy"
    about = "choose the candidate that fits"
    fields = ("x", "y")
    encoder_settings = Encoding
    serving_settings = Serving
    traits = {"calm": False}  # noqa: RUF012
    model_traits = {"calm": True}  # noqa: RUF012
    shown = (Measure("wrong", "wrong", "%", 100.0),)

    def observation(self, history: int) -> InputSpec:
        return InputSpec(
            (
                ArraySpec("wanted", (FEATURES,), "float64"),
                ArraySpec("candidates", (CANDIDATES, FEATURES), "float64", mask="exists"),
                ArraySpec("exists", (CANDIDATES,), "bool"),
            ),
            Choices,
        )

    def action(self) -> ActionSpec:
        return ActionSpec((ArraySpec("candidate", (), "int64"),), Chosen)

    def inputs(self, config: Any) -> InputSpec:
        return InputSpec(
            (
                ArraySpec("wanted", (FEATURES,)),
                ArraySpec("candidates", (CANDIDATES, FEATURES), mask="exists"),
                ArraySpec("exists", (CANDIDATES,), "bool"),
            )
        )

    def tokens(self, config: Any) -> int:
        return 1 + CANDIDATES

    def positions(self, config: Any) -> int:
        return CANDIDATES

    def encoder(self, config: Any, hidden: int, scale: float) -> Any:
        return _modules().Encoder(config.encoder.width, hidden, scale)

    def head(self, config: Any, hidden: int) -> Any:
        return _modules().Head(hidden)

    def dataset(self, folder: Path) -> Recorded:
        return Recorded(folder)

    def loss(self, output: Any, targets: Mapping[str, Any], settings: Settings) -> Any:
        from torch.nn import functional

        return functional.cross_entropy(output, targets["best"])

    def constant_loss(self, targets: Mapping[str, Any], settings: Settings) -> float:
        share = np.bincount(targets["best"]) / len(targets["best"])
        share = share[share > 0]
        return float(-(share * np.log(share)).sum())

    def about_loss(self, settings: Settings) -> str:
        return "cross-entropy of the best candidate"

    def measures(self, output: Any, targets: Mapping[str, Any]) -> dict[str, Any]:
        return {"wrong": (output.argmax(1) != targets["best"]).astype(np.float64)}

    def model_inputs(self, batch: Choices, config: Any, target_return: float | None) -> Any:
        return {
            "wanted": batch.wanted.astype(np.float32),
            "candidates": batch.candidates.astype(np.float32),
            "exists": batch.exists,
        }

    def actions(self, output: Any, batch: Choices, settings: Settings) -> Chosen:
        assert isinstance(settings, Serving)
        return Chosen(output.argmax(1) + settings.offset)


class SecondToyTask(ToyTask):
    """The same choice under another name, to be learned beside it."""

    name = "second-toy"


def _modules() -> Any:
    """Encoder and head, which alone need PyTorch."""
    import torch
    from torch import Tensor, nn

    class Encoder(nn.Module):
        def __init__(self, width: int, hidden: int, scale: float) -> None:
            super().__init__()
            self.wanted = nn.Linear(FEATURES, hidden)
            self.candidate = nn.Sequential(
                nn.Linear(2 * FEATURES + 1, width), nn.GELU(), nn.Linear(width, hidden)
            )
            self.norm = nn.LayerNorm(hidden)
            nn.init.constant_(self.norm.weight, scale)

        def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
            wanted, exists = inputs["wanted"], inputs["exists"].float()[..., None]
            beside = wanted[:, None].expand(-1, CANDIDATES, -1)
            each = self.candidate(torch.cat([inputs["candidates"], beside, exists], dim=-1))
            tokens: Tensor = self.norm(torch.cat([self.wanted(wanted)[:, None], each], dim=1))
            return tokens

    class Head(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.score = nn.Sequential(
                nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 1)
            )

        def forward(self, vectors: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
            scores: Tensor = self.score(vectors)[..., 0]
            return scores.masked_fill(~inputs["exists"], float("-inf"))

    return type("Modules", (), {"Encoder": Encoder, "Head": Head})
