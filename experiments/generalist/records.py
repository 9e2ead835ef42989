"""What is recorded of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from experiments.generalist.fast import Trained
from experiments.generalist.plan import Job
from experiments.generalist.resident import Resident, loss_on
from policy.model.joint import JointModel
from policy.model.model import Named
from policy.training.mixture.config import MixtureConfig


def write(file: Path, job: Job, record: dict[str, Any]) -> None:
    """Write what is recorded of a run, whole or not at all. One that goes on ends in .part."""
    names = {"name": job.name, "row": job.row, "seed": job.seed, "kind": job.kind}
    new = file.with_name(f"{file.name}.new")
    new.write_text(json.dumps(record | names))
    new.rename(file)


def course(trained: Trained) -> dict[str, Any]:
    """What a training did, for the record."""
    model = trained.model
    learned = sum(one.numel() for one in model.trained_parameters().values())
    return {
        "best_loss": trained.best_loss,
        "best_step": trained.best_step,
        "steps": trained.steps,
        "train_s": round(trained.wall_s, 2),
        "captured": trained.captured or trained.not_captured,
        "parameters": learned,
        "curve": rounded(trained.curve),
    }


def exchanged(
    model: JointModel,
    config: MixtureConfig,
    data: dict[str, Resident],
    autocast: torch.dtype | None,
) -> dict[str, float]:
    """Validation losses where each task has the next one's token."""
    encoders = [model.encoders[name] for name in data]
    tokens = [one.token.detach().clone() for one in encoders if isinstance(one, Named)]
    found = {}
    with torch.no_grad():
        for shift in (1, 0):
            for index, one in enumerate(encoders):
                assert isinstance(one, Named)
                one.token.copy_(tokens[(index + shift) % len(tokens)])
            if shift:
                for name, part in data.items():
                    found[name] = loss_on(model, config, name, part, autocast=autocast)
    return dict(rounded(found))


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return value
