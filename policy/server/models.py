"""Loads the tiers that a configuration names, each model in a process of its own
(`policy.worker`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from policy.api import Policy, PolicyContext
from policy.errors import PolicyError
from policy.registry import create, wants_process
from policy.server.config import ServerConfig
from policy.worker.policy import WorkerPolicy

AUTO = "auto"
AUTO_TIER = "llm"


@contextmanager
def loaded(config: ServerConfig) -> Iterator[tuple[ServerConfig, dict[str, Policy], str]]:
    """The configuration with `difficult` settled, the loaded tiers by name, and what to tell the
    user (or "").

    The tiers' processes end with the context. Raises PolicyError if a tier that was named cannot be
    had.
    """
    note, tiers = "", {}
    difficult = config.difficult
    with ExitStack() as stack:
        if difficult == AUTO:
            try:
                tiers[AUTO_TIER] = _create(AUTO_TIER, config, stack)
                difficult = AUTO_TIER
            except PolicyError as error:
                difficult, note = None, f"{error}; the light tier decides alone"
        for name in (*([difficult] if difficult else []), *config.tiers):
            if name not in tiers:
                tiers[name] = _create(name, config, stack)
        yield config.model_copy(update={"difficult": difficult}), tiers, note


def _create(name: str, config: ServerConfig, stack: ExitStack) -> Policy:
    context = PolicyContext(config.limits.flows, config.models.get(name), config.device)
    try:
        if not wants_process(name):
            return create(name, context)
        tier = WorkerPolicy(name, context, config.admission.max_batch)
    except (ValueError, ImportError) as error:
        raise PolicyError(f"tier {name}: {error}") from error
    stack.callback(tier.close)
    return tier
