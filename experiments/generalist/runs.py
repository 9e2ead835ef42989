"""One run of `campaign.py`: a row, a learning rate, a few-shot curve or a merge."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.generalist import judge, look
from experiments.generalist.fast import State, build, state_of, train_fast
from experiments.generalist.kept import keep_backbones
from experiments.generalist.next_state import pretrain
from experiments.generalist.plan import RATES, TINY, Job, Plan
from experiments.generalist.records import course, exchanged, rounded
from experiments.generalist.resident import Resident, loss_on, outputs, resident
from experiments.generalist.rows import ROWS, TASKS, config_of
from experiments.generalist.samples import fewer, fewer_held, shuffled
from policy.model import joint_checkpoint
from policy.model.joint import JointModel
from policy.model.merge import merge
from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.data import open_datasets, task_data

_DEFAULT_RATE = 1.5e-3


class Runner:
    """Holds the data of all tasks, and does run after run. Raises PolicyError."""

    def __init__(self, options: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        keep_backbones()
        self.plan: Plan = options["plan"]
        self.out: Path = options["out"]
        self.checkpoints: Path = options["checkpoints"]
        self._options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.autocast = torch.bfloat16 if self.device.type == "cuda" else None
        config = self._config("G", TASKS, 0)
        self.datasets = open_datasets(options["data"], list(TASKS))
        data = {name: task_data(self.datasets[name], name, config) for name in TASKS}
        self.data = {name: resident(name, one, self.device) for name, one in data.items()}
        if self.plan.tested is not None:
            self.data = {name: fewer_held(one, self.plan.tested) for name, one in self.data.items()}

    def ready(self, job: Job) -> bool:
        """Whether what comes before it is there."""
        if any(not self._file(name).exists() for name in job.needs):
            return False
        if job.kind in ("rate", "merge") or time.time() > self._options["rates_by"]:
            return True
        return all(self._file(f"rate-{job.group}-{rate:g}").exists() for rate in RATES)

    def run(self, job: Job) -> dict[str, Any]:
        """What is recorded of it."""
        if job.kind == "few":
            return self._few(job)
        if job.kind == "merge":
            return self._merge(job)
        return self._row(job)

    def _file(self, name: str) -> Path:
        return self.out / "runs" / f"{name.replace('/', '+')}.json"

    def _rate(self, job: Job) -> float:
        if job.rate is not None:
            return job.rate
        found = []
        for rate in RATES:
            file = self._file(f"rate-{job.group}-{rate:g}")
            record = json.loads(file.read_text()) if file.exists() else {}
            found.append((record.get("best_loss", float("inf")), rate))
        best = min(found)
        return best[1] if best[0] < float("inf") else _DEFAULT_RATE

    def _config(self, row: str, tasks: tuple[str, ...], seed: int, **more: Any) -> MixtureConfig:
        plan = self.plan
        steps = more.get("max_steps", plan.steps)
        settings = {
            "max_steps": steps,
            "batch_size": plan.batch,
            "micro_batch": plan.batch,
            "evaluate_every": max(steps // 16, 1),
            "evaluate_samples": plan.validation,
            "warmup_steps": max(min(steps // 10, 200), 1),
            "clip": 1.0,
            **more,
        }
        chosen = ROWS[row]
        if plan.steps == TINY.steps and chosen.model["kind"] == "nioka":
            backbone = chosen.model["backbone"] | {"layers": 1}
            chosen = replace(chosen, model=chosen.model | {"backbone": backbone})
        return config_of(chosen, tasks, seed, plan.small, settings)

    def _row(self, job: Job) -> dict[str, Any]:
        plan = self.plan
        steps = plan.rate_steps if job.kind == "rate" else plan.steps
        if job.row.endswith("-long"):
            steps *= plan.long
        rate = self._rate(job)
        config = self._config(job.row, job.tasks, job.seed, max_steps=steps, learning_rate=rate)
        data = {name: self.data[name] for name in job.tasks}
        model = build(config, job.seed, self.device)
        record: dict[str, Any] = {"tasks": job.tasks, "rate": rate, "batch": plan.batch}
        if job.row == "I":
            record["pretraining"] = pretrain(model, config, job.seed, data)
        trained = train_fast(model, config, job.seed, data, limit_s=plan.limit_s)
        record |= course(trained)
        if job.kind == "rate":
            return record
        record |= self._errors(model, config, data)
        if config.model.kind == "nioka":
            record["update"] = look.update(model)
            with torch.autocast(self.device.type, torch.bfloat16, self.autocast is not None):
                record["moved"] = look.moved(model, data)
        if job.row[0] in "BEG" and hasattr(model.backbone, "forward"):
            record["probes"] = rounded(look.probes(model, data))
        if len(job.tasks) > 1 and config.model.task_token:
            record["exchanged"] = exchanged(model, config, data, self.autocast)
        if job.judged:
            label = job.name.split("/")[0]
            folder = self._save(model, config, label, job.seed, record)
            record["closed"] = self._closed(folder, job.tasks)
        return record

    def _errors(
        self,
        model: JointModel,
        config: MixtureConfig,
        data: dict[str, Resident],
        by_unit: bool = True,
    ) -> dict[str, Any]:
        """Losses of validation and test samples, and of the task's first measure its mean by test
        unit.
        """
        losses: dict[str, dict[str, float]] = {"validation": {}, "test": {}}
        units, means = {}, {}
        for name, one in data.items():
            losses["validation"][name] = loss_on(
                model, config, name, one, "validation", 1 << 30, self.autocast
            )
            side, task = one.sides["test"], model.models[name].task
            output = outputs(model, name, side, self.autocast)
            loss = task.loss(output, side.targets, config.tasks[name].loss)
            losses["test"][name] = float(loss) / one.constant_loss
            targets = {key: value.cpu().numpy() for key, value in side.targets.items()}
            measures = task.measures(output.cpu().numpy(), targets)
            means[name] = {key: float(np.mean(value)) for key, value in measures.items()}
            value = measures[task.shown[0].name]
            units[name] = (np.bincount(side.units, value) / np.bincount(side.units)).tolist()
        found = {"losses": rounded(losses), "measures": rounded(means)}
        return found | ({"units": rounded(units)} if by_unit else {})

    def _save(
        self,
        model: JointModel,
        config: MixtureConfig,
        label: str,
        seed: int,
        record: dict[str, Any],
    ) -> Path:
        folder = self.checkpoints / label / str(seed) / "checkpoint"
        about = {
            name: self.datasets[name].about | {"constant_loss": self.data[name].constant_loss}
            for name in config.model.tasks
        }
        progress = {key: record[key] for key in ("best_loss", "best_step", "steps")}
        joint_checkpoint.save(
            folder,
            model,
            card=f"# {label}, seed {seed}\n",
            training={
                "datasets": about,
                "seed": seed,
                "losses": record["losses"],
                "settings": config.model_dump(mode="json", exclude={"model"}),
                "seeds": {str(seed): {"progress": progress, "test": record["measures"]}},
                "trained_parameters": record["parameters"],
            },
            tasks={
                name: joint_checkpoint.TaskRecord(config.tasks[name].serving)
                for name in config.model.tasks
            },
        )
        return folder

    def _closed(self, folder: Path, tasks: tuple[str, ...]) -> dict[str, Any]:
        """Scores in the simulators, by unit."""
        plan, options, device = self.plan, self._options, str(self.device)
        found: dict[str, Any] = {}
        for name in tasks:
            began = time.monotonic()
            if name == "congestion":
                units = judge.congestion(
                    folder,
                    options["data"],
                    plan.units,
                    device,
                    1 if plan.steps == TINY.steps else 15,
                )
            elif name == "abr":
                units = judge.abr(folder, options["abr"], plan.units, device)
            else:
                jobs = 2 if plan.steps == TINY.steps else 20
                units = judge.cjs(folder, options["profiles"], plan.sequences, jobs, device)
            found[name] = {"units": rounded(units), "s": round(time.monotonic() - began, 1)}
        return found

    def _merge(self, job: Job) -> dict[str, Any]:
        folders = [self.checkpoints / f"A-{task}" / str(job.seed) / "checkpoint" for task in TASKS]
        found: dict[str, Any] = {}
        for weight in (1 / 3, 0.6, 1.0):
            out = self.checkpoints / f"H-{weight:.2f}" / str(job.seed) / "checkpoint"
            merge(folders, out, weight)
            config = self._config("B", TASKS, job.seed)
            model, _ = joint_checkpoint.load(out, device=self.device)
            found[f"{weight:.2f}"] = self._errors(model, config, self.data)
        best = min(found, key=lambda key: sum(found[key]["losses"]["validation"].values()))
        folder = self.checkpoints / f"H-{best}" / str(job.seed) / "checkpoint"
        return {
            "tasks": TASKS,
            "weights": found,
            "weight": best,
            **found[best],
            "closed": self._closed(folder, TASKS),
        }

    def _few(self, job: Job) -> dict[str, Any]:
        """A task that was left out, learned from a share of its samples, in every way."""
        plan, left = self.plan, job.left
        others = tuple(task for task in TASKS if task != left)
        rate = self._rate(job)
        known = {name: self.data[name] for name in others}
        if job.noise:
            known = {name: shuffled(one, job.seed) for name, one in known.items()}
        config = self._config(job.row, others, job.seed, learning_rate=rate)
        before = build(config, job.seed, self.device)
        trained = train_fast(before, config, job.seed, known, limit_s=plan.limit_s)
        start = {
            name: value for name, value in state_of(before).items() if name.startswith("backbone.")
        }
        record: dict[str, Any] = {
            "left": left,
            "noise": job.noise,
            "rate": rate,
            "before": course(trained),
        }
        del before, trained
        ways: dict[str, tuple[State | None, bool]] = {
            "ends": (start, False),
            "all": (start, True),
            "scratch": (None, True),
        }
        points = []
        for share in (0.01, 0.1, 1.0) if job.noise else plan.shares:
            some = fewer(self.data[left], share, job.seed)
            for way, (state, free) in ways.items():
                if job.noise and way == "scratch":
                    continue
                config = self._config(
                    job.row,
                    (left,),
                    job.seed,
                    learning_rate=rate,
                    max_steps=plan.few_steps,
                    train_backbone=free,
                )
                model = build(config, job.seed, self.device, state)
                trained = train_fast(model, config, job.seed, {left: some}, limit_s=60.0)
                errors = self._errors(model, config, {left: some}, by_unit=False)
                points.append(
                    {
                        "share": share,
                        "samples": len(some.sides["train"]),
                        "way": way,
                        "best_step": trained.best_step,
                        "train_s": round(trained.wall_s, 2),
                        "validation": errors["losses"]["validation"][left],
                        "test": errors["losses"]["test"][left],
                        "measure": errors["measures"][left],
                    }
                )
        return record | {"points": rounded(points)}
