"""A training run between two starts: weights, best weights, optimiser moments and progress."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from policy.model.errors import ModelError
from policy.training.config import Schedule


@dataclass
class Progress:
    """Where a run stands; also what live progress shows."""

    step: int = 0
    loss: float = float("nan")
    validation_loss: float = float("nan")
    best_loss: float = float("inf")
    best_step: int = 0
    stale: int = 0  # evaluations since the best
    spent_s: float = 0.0


class State:
    """Weights, best weights and optimiser moments between runs; safetensors and JSON, replaced as a
    whole.
    """

    def __init__(self, folder: Path, config: Schedule, seed: int) -> None:
        self._folder = folder
        # When to give up may change between runs; everything else decides the result.
        settings = config.model_dump(mode="json", exclude={"seeds", "patience", "max_seconds"})
        self._settings = settings | {"seed": seed}

    def save(
        self,
        progress: Progress,
        learned: dict[str, nn.Parameter],
        best: dict[str, Tensor],
        optimiser: torch.optim.Optimizer,
    ) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"now.{name}": value.detach() for name, value in learned.items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {
                f"adam.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()
            }
        file = self._folder / f"{progress.step}.safetensors"
        save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, file)
        record = {"settings": self._settings, "tensors": file.name, "progress": vars(progress)}
        part = self._folder / "state.part"
        part.write_text(json.dumps(record))
        part.rename(self._folder / "state.json")
        for old in self._folder.glob("*.safetensors"):
            if old != file:
                old.unlink()

    def restore(
        self, learned: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer
    ) -> Progress:
        record_path = self._folder / "state.json"
        if not record_path.exists():
            return Progress()
        record = json.loads(record_path.read_text())
        if record["settings"] != self._settings:
            changed = [k for k in self._settings if record["settings"].get(k) != self._settings[k]]
            raise ModelError(
                f"{self._folder} belongs to other settings ({', '.join(changed)}); choose another "
                "--out"
            )
        tensors = load_file(self._folder / record["tensors"])
        with torch.no_grad():
            for name, parameter in learned.items():
                parameter.copy_(tensors[f"now.{name}"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("adam."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
        return Progress(**record["progress"])

    def best(self, learned: dict[str, nn.Parameter]) -> dict[str, Tensor]:
        """The best weights so far; those given where there is no state yet."""
        record_path = self._folder / "state.json"
        if not record_path.exists():
            return {name: value.detach() for name, value in learned.items()}
        tensors = load_file(self._folder / json.loads(record_path.read_text())["tensors"])
        device = next(iter(learned.values())).device
        return {name: tensors[f"best.{name}"].to(device) for name in learned}
