"""What is found out of a trained checkpoint: errors on samples, what training did to it, and the
closed loops.
"""

from __future__ import annotations

import logging
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.generalist import judge, look
from experiments.generalist.kept import keep_backbones
from experiments.generalist.plan import Plan
from experiments.generalist.precision import mixed_dtype
from experiments.generalist.queue import Item, Queue
from experiments.generalist.records import exchanged, rounded
from experiments.generalist.resident import Resident, loss_on, outputs
from experiments.generalist.rows import ROWS, TASKS
from experiments.generalist.settings import load_data, settings_of
from policy.model import joint_checkpoint
from policy.model.joint import JointModel
from policy.training.mixture.config import MixtureConfig

log = logging.getLogger(__name__)
_ASK_AGAIN_S = 0.3


def judge_all(options: dict[str, Any], until: float) -> None:
    """One process: item after item until the time is over, or training is and nothing waits."""
    torch.set_num_threads(1)
    keep_backbones()
    judging = Judging(options)
    queue = Queue(options["out"])
    over = options["out"] / "trained"
    while time.time() < until:
        ended = over.exists()
        item = queue.take()
        if item is None:
            if ended:
                return
            time.sleep(_ASK_AGAIN_S)
            continue
        began = time.monotonic()
        try:
            found: dict[str, Any] = judging.judge(item)
        except torch.OutOfMemoryError:  # others have it at present
            queue.put(item)
            torch.cuda.empty_cache()
            time.sleep(_ASK_AGAIN_S)
            continue
        except Exception:  # one that fails must not cost the others
            log.exception("%s", item.name)
            found = {"failed": traceback.format_exc(limit=-4)}
        queue.done(item, rounded(found) | {"s": round(time.monotonic() - began, 1)})


class Judging:
    """Holds what checkpoints are judged on."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.plan: Plan = options["plan"]
        self._options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._data: dict[str, Resident] | None = None

    def judge(self, item: Item) -> dict[str, Any]:
        """What is recorded of it; of a closed loop its score by unit."""
        folder = Path(item.folder)
        if item.part == "look":
            return self._look(folder, item)
        return {"units": self._closed(folder, item.part)}

    def _closed(self, folder: Path, part: str) -> dict[str, float]:
        plan, options, device = self.plan, self._options, str(self.device)
        if part == "congestion":
            return judge.congestion(folder, options["data"], plan.units, device, plan.seconds)
        if part.startswith("abr"):
            side = "validation" if part == "abr-validation" else "test"
            return judge.abr(folder, options["abr"], plan.units, device, side)
        profiles = None if part == "cjs-generated" else options["profiles"]
        live = part == "cjs-live"
        return judge.cjs(folder, profiles, plan.sequences, plan.jobs, device, live)

    def _look(self, folder: Path, item: Item) -> dict[str, Any]:
        if self._data is None:
            self._data = load_data(self.plan, self._options["data"], self.device)[1]
        model, _ = joint_checkpoint.load(folder, device=self.device)
        tasks = tuple(name for name in TASKS if name in model.models)
        config = settings_of(self.plan, item.row, tasks, item.seed)
        data = {name: self._data[name] for name in tasks}
        small = mixed_dtype(config, self.device)
        found = errors(model, config, data, small)
        if item.point is not None:
            return {key: value for key, value in found.items() if key != "units"}
        mixed = torch.autocast(self.device.type, small, small is not None)
        if config.model.kind == "nioka":
            found["update"] = look.update(model)
            with mixed:
                found["moved"] = look.moved(model, data, self.plan.validation)
        if item.row[0] in "BEG":
            with mixed:
                found["probes"] = look.probes(model, data, self.plan.validation)
        if len(tasks) > 1 and ROWS[item.row].model.get("task_token", True):
            found["exchanged"] = exchanged(model, config, data, small)
        return found


def errors(
    model: JointModel,
    config: MixtureConfig,
    data: dict[str, Resident],
    autocast: torch.dtype | None,
) -> dict[str, Any]:
    """Losses of validation and test samples, and of the task's first measure its mean by test
    unit.
    """
    losses: dict[str, dict[str, float]] = {"validation": {}, "test": {}}
    units, means = {}, {}
    for name, one in data.items():
        held = loss_on(model, config, name, one, "validation", 1 << 30, autocast)
        losses["validation"][name] = held
        side, task = one.sides["test"], model.models[name].task
        output = outputs(model, name, side, autocast)
        loss = task.loss(output, side.targets, config.tasks[name].loss)
        losses["test"][name] = float(loss) / one.constant_loss
        targets = {key: value.cpu().numpy() for key, value in side.targets.items()}
        measures = task.measures(output.cpu().numpy(), targets)
        means[name] = {key: float(np.mean(value)) for key, value in measures.items()}
        value = measures[task.shown[0].name]
        units[name] = (np.bincount(side.units, value) / np.bincount(side.units)).tolist()
    return {"losses": losses, "measures": means, "units": units}
