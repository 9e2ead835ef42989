"""One run of `campaign.py`: a row, a few-shot curve, a family or a merge.

Runs are generators that pause after each step of training; they write checkpoints and leave it to
others to judge them.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.generalist.families import ALL
from experiments.generalist.fast import build, state_of, training
from experiments.generalist.gradients import Gradients
from experiments.generalist.kept import keep_backbones
from experiments.generalist.next_state import pretrain
from experiments.generalist.plan import CLOSED, JUDGED_SHARES, OTHER_CLUSTERS, Job, Plan
from experiments.generalist.precision import mixed_dtype
from experiments.generalist.queue import Item, Queue, record_file
from experiments.generalist.records import course, rounded, write
from experiments.generalist.resident import Resident, loss_on
from experiments.generalist.rows import TASKS
from experiments.generalist.samples import few_rows, shuffled
from experiments.generalist.search import LIKE, best_rate, label_of, name_of
from experiments.generalist.settings import load_data, settings_of
from policy.model import joint_checkpoint
from policy.model.joint import JointModel
from policy.model.merge import merge
from policy.training.mixture.config import MixtureConfig

_ASK_AGAIN_S = 0.5
Run = Generator[None, None, dict[str, Any]]


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
        self.datasets, self.data = load_data(self.plan, options["data"], self.device)
        self._queue = Queue(self.out)

    def ready(self, job: Job) -> bool:
        """Whether what comes before it is there."""
        return all(self._file(name).exists() for name in job.needs)

    def run(self, job: Job, order: int) -> Run:
        """What is recorded of it. `order`: of what is judged, the least first."""
        if job.kind == "few":
            return self._few(job, order)
        if job.kind == "merge":
            return self._merge(job, order)
        return self._row(job, order)

    def _row(self, job: Job, order: int) -> Run:
        rate, seed = self._rate(job), job.seed
        if (same := self._same(job, rate)) is not None:
            yield
            self._judge_row(job, order, self._folder(job.name))
            return same
        steps = self.plan.steps * (self.plan.long if job.row.endswith("-long") else 1)
        config = settings_of(
            self.plan, job.row, job.tasks, seed, max_steps=steps, learning_rate=rate
        )
        data = {name: self._of_family(self.data[name], job.family) for name in job.tasks}
        model = build(config, seed, self.device)
        record: dict[str, Any] = {"tasks": job.tasks, "rate": rate, "batch": self.plan.batch}
        if job.family:
            record |= {"family": job.family, "samples": len(data[job.tasks[0]].sides["train"])}
        if job.row == "I":
            record["pretraining"] = yield from pretrain(model, config, seed, data)
        record |= course((yield from training(model, config, seed, data)))
        folder = self._save(model, config, job.name, job, record)
        if job.kind != "rate":
            self._judge_row(job, order, folder)
        return record

    def _rate(self, job: Job) -> float:
        """Its learning rate: its own, that of the search it needs, or the plan's."""
        if job.rate is not None:
            return job.rate
        found = [self._record(name) for name in job.needs if name.startswith("rate-")]
        return best_rate(found) if found else self.plan.rates[job.group]

    def _same(self, job: Job, rate: float) -> dict[str, Any] | None:
        """The record of the search's run that is this one, with its checkpoint copied; None if
        there is none.
        """
        name = name_of(label_of(job), rate, job.seed)
        if job.kind != "row" or job.row in LIKE or name not in job.needs:
            return None
        record = self._record(name)
        if "failed" in record:
            return None
        shutil.copytree(self._folder(name), self._folder(job.name), dirs_exist_ok=True)
        return record

    def _record(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self._file(name).read_text())
        return record

    def _file(self, name: str) -> Path:
        return record_file(self.out, name)

    def _folder(self, name: str) -> Path:
        return self.checkpoints / name / "checkpoint"

    def _judge_row(self, job: Job, order: int, folder: Path) -> None:
        parts = [part for name in job.tasks for part in CLOSED[name]]
        if job.family and "cjs" in job.tasks:
            parts += OTHER_CLUSTERS
        self._judge(job, order, folder, ["look", *parts])

    @staticmethod
    def _of_family(data: Resident, family: str) -> Resident:
        side = data.sides["train"]
        if family in ("", ALL) or side.families is None:
            return data
        rows = np.flatnonzero(side.families == family)
        return data.with_train(side.only(rows)) if len(rows) else data

    def _save(
        self,
        model: JointModel,
        config: MixtureConfig,
        name: str,
        job: Job,
        record: dict[str, Any],
    ) -> Path:
        folder = self._folder(name)
        about = {
            name: self.datasets[name].about | {"constant_loss": self.data[name].constant_loss}
            for name in config.model.tasks
        }
        joint_checkpoint.save(
            folder,
            model,
            card=f"# {name}\n",
            training={
                "datasets": about,
                "seed": job.seed,
                "settings": config.model_dump(mode="json", exclude={"model"}),
                "progress": {key: record[key] for key in ("best_loss", "best_step", "steps")},
                "trained_parameters": record["parameters"],
            },
            tasks={
                name: joint_checkpoint.TaskRecord(config.tasks[name].serving)
                for name in config.model.tasks
            },
        )
        return folder

    def _judge(
        self,
        job: Job,
        order: int,
        folder: Path,
        parts: list[str],
        point: tuple[float, str] | None = None,
    ) -> None:
        for part in parts:
            item = Item(order, job.name, str(folder), part, job.row, job.seed, point)
            self._queue.put(item)

    def _merge(self, job: Job, order: int) -> Run:
        yield
        folders = [self._folder(f"A-{task}/{job.seed}") for task in TASKS]
        config = settings_of(self.plan, "B", TASKS, job.seed)
        found: dict[str, float] = {}
        for weight in (1 / 3, 0.6, 1.0):
            out = self._folder(f"H-{weight:.2f}/{job.seed}")
            merge(folders, out, weight)
            model, _ = joint_checkpoint.load(out, device=self.device)
            limit, mixed = self.plan.validation, mixed_dtype(config, self.device)
            found[f"{weight:.2f}"] = sum(
                loss_on(model, config, name, one, limit=limit, autocast=mixed)
                for name, one in self.data.items()
            )
            yield
        best = min(found, key=lambda key: found[key])
        self._judge_row(job, order, self._folder(f"H-{best}/{job.seed}"))
        return {"tasks": TASKS, "weights": rounded(found), "weight": best}

    def _few(self, job: Job, order: int) -> Run:
        """A task that was left out, learned from a share of its samples, in every way."""
        plan, left, device = self.plan, job.left, self.device
        others = tuple(task for task in TASKS if task != left)
        rate = self._rate(job)
        known = {name: self.data[name] for name in others}
        if job.noise:
            known = {name: shuffled(one, job.seed) for name, one in known.items()}
        config = settings_of(
            plan, job.row, others, job.seed, max_steps=plan.few_before, learning_rate=rate
        )
        before = build(config, job.seed, device)
        trained = yield from training(before, config, job.seed, known)
        start = {
            name: value for name, value in state_of(before).items() if name.startswith("backbone.")
        }
        record: dict[str, Any] = {"left": left, "noise": job.noise, "rate": rate}
        record["before"] = course(trained)
        del before, trained
        settings = {"max_steps": plan.few_steps, "learning_rate": rate}
        config = settings_of(plan, job.row, (left,), job.seed, **settings)
        still = settings_of(plan, job.row, (left,), job.seed, train_backbone=False, **settings)
        model = build(config, job.seed, device)
        fresh = state_of(model)
        data = {left: self.data[left]}
        gradients: Gradients | None = None
        points = []
        for share in plan.noise_shares if job.noise else plan.shares:
            some = few_rows(self.data[left], share, job.seed)
            for way in ("all", "ends", "scratch"):
                if job.noise and way == "scratch":
                    continue
                self._begin(model, fresh if way == "scratch" else fresh | start)
                chosen = still if way == "ends" else config
                trained = yield from training(
                    model, chosen, job.seed, data, gradients=gradients, rows={left: some}
                )
                gradients = trained.gradients
                found = course(trained)
                wanted = ["look"]
                if not job.noise and share in JUDGED_SHARES[way]:
                    wanted.append(left)
                folder = self._save(model, chosen, f"{job.name}/{share:g}-{way}", job, found)
                self._judge(job, order, folder, wanted, (share, way))
                kept = {key: found[key] for key in ("best_step", "best_loss", "train_s")}
                points.append({"share": share, "samples": len(some), "way": way} | kept)
                stopped = {"points": points, "stopped": True}
                write(self._file(job.name).with_suffix(".part"), job, record | stopped)
        return record | {"points": points}

    @staticmethod
    def _begin(model: JointModel, state: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, value in model.trained_parameters().items():
                value.copy_(state[name])


def side_by_side(
    take: Callable[[], tuple[Job, Run] | None],
    more: Callable[[], bool],
    ended: Callable[[Job, dict[str, Any] | Exception], None],
    slots: int,
    device: torch.device,
) -> None:
    """Advance up to `slots` runs in turn, each on a CUDA stream of its own, until there are none.

    take: the next run, None if none is ready; more: whether there may be one later; ended: called
    with what is recorded of a run, or with what it raised.
    """
    streams = [torch.cuda.Stream() if device.type == "cuda" else None for _ in range(slots)]
    running: dict[int, tuple[Job, Run]] = {}
    asked = 0.0
    while True:
        free = [slot for slot in range(slots) if slot not in running]
        if free and time.monotonic() - asked > _ASK_AGAIN_S:
            for slot in free:
                if (found := take()) is None:
                    asked = time.monotonic()
                    break
                running[slot] = found
        if not running:
            if not more():
                return
            time.sleep(_ASK_AGAIN_S)
        for slot, (job, run) in list(running.items()):
            result: dict[str, Any] | Exception
            with torch.cuda.stream(streams[slot]):
                try:
                    next(run)
                    continue
                except StopIteration as end:
                    result = end.value
                except Exception as error:  # noqa: BLE001 (one failure must not cost the others)
                    result = error
            del running[slot]
            asked = 0.0
            ended(job, result)
