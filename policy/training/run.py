"""A whole training run: every seed, the best checkpoint, its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from accelerate import PartialState

from policy.model import checkpoint
from policy.model.errors import ModelError
from policy.model.model import PolicyModel
from policy.tasks.base import Dataset
from policy.tasks.registry import learned_task
from policy.tasks.splits import SPLITS
from policy.training.config import TrainConfig
from policy.training.evaluate import Measures, evaluate, evaluate_baselines, model_card
from policy.training.trainer import Progress, train_one


def train(
    dataset: Path | Dataset,
    config: TrainConfig,
    out: Path,
    *,
    compare: Sequence[Path] = (),
    on_progress: Callable[[int, Progress], None] = lambda seed, progress: None,
) -> Path:
    """Train all seeds of `config` and write `out/checkpoint`, the one that did best on the
    validation traces.

    `out/seed-<k>/` holds each seed's TensorBoard logs and the state from which an interrupted run
    resumes. `compare` are checkpoints evaluated on the same test samples, for the card. A dataset's
    folder is opened as the configured task does.

    Raises:
        PolicyError: the dataset, settings, a checkpoint to compare with, or a state to resume is
            unusable.
    """
    if isinstance(dataset, Path):
        dataset = learned_task(config.model.task).dataset(dataset)
    samples = {split: dataset.samples(split, config.model) for split in SPLITS}
    process = PartialState()
    device = process.device
    results: dict[int, tuple[Progress, Measures]] = {}
    best: tuple[float, int, PolicyModel] | None = None
    for seed in config.seeds:
        model, progress = train_one(
            config,
            seed,
            samples["train"],
            samples["validation"],
            out / f"seed-{seed}",
            on_progress=partial(on_progress, seed),
        )
        results[seed] = (progress, evaluate(model, samples["test"], device))
        if best is None or progress.best_loss < best[0]:
            best = (progress.best_loss, seed, model)
    assert best is not None
    _, best_seed, model = best

    others: dict[str, Measures] = {}
    for folder in compare:
        other, info = checkpoint.load(folder, device=device)
        if info.model.task != config.model.task:
            raise ModelError(f"{folder} is for task {info.model.task!r}; it cannot be compared")
        test = dataset.samples("test", info.model)
        others[f"{info.model.kind} ({folder.name})"] = evaluate(other, test, device)
    others |= evaluate_baselines(model.task, samples["test"])
    about = dataset.about
    card = model_card(
        config.model.kind, config, dataset=about, seeds=results, best_seed=best_seed, others=others
    )
    training = {
        "dataset": about,
        "settings": config.model_dump(mode="json", exclude={"model"}),
        "seed": best_seed,
        "seeds": {
            str(seed): {"progress": vars(progress), "test": measures}
            for seed, (progress, measures) in results.items()
        },
        "compared": others,
    }
    conditioned = config.model.objective == "decision-transformer"
    folder = out / "checkpoint"
    if process.is_main_process:
        checkpoint.save(
            folder,
            model,
            card=card,
            training=training,
            target_return=samples["train"].target_return() if conditioned else None,
            serving=config.serving,
        )
    return folder
