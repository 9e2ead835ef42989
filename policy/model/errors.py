"""The error that bad models, checkpoints and datasets raise."""

from __future__ import annotations

from policy.errors import PolicyError


class ModelError(PolicyError):
    """A model, checkpoint, dataset or training setting is unusable; the message names it and the
    remedy.
    """
