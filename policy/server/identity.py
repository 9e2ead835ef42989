"""What identifies the models that a server answers with, so that results name them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from plugins import is_reference
from policy.model.info import bundled
from policy.registry import MODELS
from policy.server.config import ServerConfig


def identities(config: ServerConfig) -> dict[str, str]:
    """Tier -> SHA-256 of its checkpoint's config.json, which holds the hashes of all its files, or
    of the user's own file. Rule policies have none; neither has what cannot be read.

    config: with `difficult` settled.
    """
    found = {}
    for tier in sorted({config.light, config.difficult or config.light, *config.tiers}):
        if is_reference(tier):
            file = Path(tier.rpartition(":")[0])
        elif tier in MODELS:
            file = _folder(config.models.get(tier, tier)) / "config.json"
        else:
            continue
        try:
            found[tier] = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError:
            continue
    return found


def _folder(name_or_path: str) -> Path:
    path = Path(name_or_path)
    return path if path.is_dir() else bundled().get(name_or_path, path)
