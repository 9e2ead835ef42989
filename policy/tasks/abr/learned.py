"""A trained network as a policy, and its file: safetensors with the settings in the header."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.model import LevelScorer
from policy.tasks.abr.observation import PER_LEVEL, SHARED, observe
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.session import Sessions


class Learned(Stateless):
    """Takes the level of the highest score."""

    def __init__(self, net: LevelScorer, device: torch.device | str = "cpu") -> None:
        self.net, self.device = net.to(device), device

    @torch.inference_mode()
    def decide(self, sessions: Sessions) -> Ints:
        scores = self.net(*observe(sessions, self.device))
        levels: Ints = scores.argmax(dim=1).cpu().numpy()
        return levels


def save_net(net: LevelScorer, path: Path) -> None:
    """Writes weights and settings."""
    settings = {"task": "abr", "kind": net.kind, "width": str(net.width)}
    settings |= {"shared": str(SHARED), "per_level": str(PER_LEVEL)}
    weights = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    save_file(weights, path, settings)


def load_net(path: Path | str) -> LevelScorer:
    """Reads what `save_net` wrote. Raises PolicyError."""
    try:
        with safe_open(str(path), framework="pt") as file:
            settings = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if settings.get("task") != "abr" or settings.get("kind") not in ("mlp", "gru"):
            raise PolicyError(f"{path}: not a checkpoint for adaptive bitrate streaming")
        width = int(settings.get("width", "0"))
        if not 8 <= width <= 4096:
            raise PolicyError(f"{path}: width {width} must lie from 8 to 4096")
        net = LevelScorer("gru" if settings["kind"] == "gru" else "mlp", width)
        net.load_state_dict(weights)
    except (OSError, SafetensorError) as error:
        raise PolicyError(f"{path}: cannot be read as safetensors: {error}") from None
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise PolicyError(f"{path}: its weights do not fit this version: {first}") from None
    return net.eval()
