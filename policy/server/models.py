"""Loads the tiers that a configuration names, each model in a process of its own (`policy.worker`)
or all of them in this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from policy.api import Policy, PolicyContext
from policy.errors import PolicyError
from policy.model.info import bundled, read_info, resolve
from policy.registry import create, wants_process
from policy.server.config import ServerConfig
from policy.worker.policy import WorkerPart, WorkerPolicy

AUTO = "auto"
AUTO_TIER = "llm"


@contextmanager
def loaded(
    config: ServerConfig, *, apart: bool = True
) -> Iterator[tuple[ServerConfig, dict[str, Policy], str]]:
    """The configuration with `difficult` settled, the loaded tiers by name, and what to tell the
    user (or ""). apart: models in processes of their own.

    The tiers' processes end with the context. Raises PolicyError if a tier that was named cannot be
    had.
    """
    note, tiers = "", {}
    difficult = config.difficult
    with ExitStack() as stack:
        if difficult == AUTO:
            try:
                tiers[AUTO_TIER] = _create(AUTO_TIER, config, stack, apart)
                difficult = AUTO_TIER
            except PolicyError as error:
                difficult, note = None, f"{error}; the light tier decides alone"
        for name in (*([difficult] if difficult else []), *config.tiers):
            if name not in tiers:
                tiers[name] = _create(name, config, stack, apart)
        yield config.model_copy(update={"difficult": difficult}), tiers, note


def tasks_beside(name: str, config: ServerConfig) -> tuple[str, ...]:
    """The further tasks for which a tier's checkpoint is named, too: it is then loaded once, for
    all of them. Raises ModelError.
    """
    if name not in config.models:
        return ()
    folder = resolve(config.models[name]).resolve()
    info = read_info(folder)
    # Adapters of a task's own cannot be merged into one set of weights.
    if info.joint is None or info.joint.backbone.lora.rank_per_task:
        return ()
    return tuple(
        task
        for task in ("abr", "cjs")
        if task in info.tasks and any(_lies_in(one, folder) for one in _names(config, task))
    )


def parts(tiers: Mapping[str, Policy], config: ServerConfig, task: str) -> dict[str, WorkerPart]:
    """What tiers' processes decide of another task, by the names that it is served under."""
    return {
        served: tier.part(task)
        for name, tier in tiers.items()
        if isinstance(tier, WorkerPolicy) and task in tier.tasks[1:]
        for served in _names(config, task)
        if _lies_in(served, resolve(config.models[name]).resolve())
    }


def _names(config: ServerConfig, task: str) -> tuple[str, ...]:
    return {"abr": config.abr, "cjs": config.schedulers}[task]


def _lies_in(name: str, folder: Path) -> bool:
    """Whether a checkpoint's name, a folder or that of a bundled one, means this folder."""
    own = bundled().get(name)
    return name == str(folder) or (own is not None and own.resolve() == folder)


def _create(name: str, config: ServerConfig, stack: ExitStack, apart: bool) -> Policy:
    context = PolicyContext(config.limits.flows, config.models.get(name), config.device)
    try:
        if not apart or not wants_process(name):
            return create(name, context)
        others = tasks_beside(name, config)
        if others:
            context = replace(context, model=str(resolve(config.models[name])))
        tier = WorkerPolicy(name, context, config.admission.max_batch, others=others)
    except (ValueError, ImportError) as error:
        raise PolicyError(f"tier {name}: {error}") from error
    stack.callback(tier.close)
    return tier
