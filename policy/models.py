"""Loads the model tiers that a configuration names."""

from __future__ import annotations

import importlib.util

from policy.config import ServerConfig
from policy.errors import PolicyError
from policy.tiers import Tier, TierContext, create

AUTO = "auto"
AUTO_TIER = "llm"


def load(config: ServerConfig) -> tuple[ServerConfig, dict[str, Tier], str]:
    """The configuration with `difficult` settled, the loaded tiers by name, and what to tell the user (or "").

    Raises PolicyError if a tier that was named cannot be had.
    """
    note, tiers = "", {}
    difficult = config.difficult
    if difficult == AUTO:
        difficult, note = None, "no PyTorch here: the light tier decides alone; install the `policy` extra"
        if importlib.util.find_spec("torch"):
            try:
                tiers[AUTO_TIER] = _create(AUTO_TIER, config)
                difficult, note = AUTO_TIER, ""
            except PolicyError as error:
                note = f"{error}; the light tier decides alone"
    for name in (*([difficult] if difficult else []), *config.tiers):
        if name not in tiers:
            tiers[name] = _create(name, config)
    return config.model_copy(update={"difficult": difficult}), tiers, note


def _create(name: str, config: ServerConfig) -> Tier:
    try:
        return create(name, TierContext(config.limits.flows, config.models.get(name), config.device))
    except (ValueError, ImportError) as error:
        raise PolicyError(f"tier {name}: {error}") from error
