"""A trained network as a policy, and its file: safetensors with the settings in the header."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.committee import MAX_MEMBERS, Committee
from policy.tasks.abr.llm import LlmScorer
from policy.tasks.abr.model import LevelScorer
from policy.tasks.abr.observation import PER_LEVEL, SHARED
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.session import Sessions
from policy.tasks.abr.tensor_observation import observe
from policy.tasks.abr.tensors import TensorSessions

KINDS = ("mlp", "gru", "llm")
"""That are trained; a checkpoint may also be a committee of the first two."""
MAX_WIDTH = 4096
# Of sessions that a network sees at a time, so that a GPU's memory holds what it computes.
MOST_AT_A_TIME = 1 << 16


class Learned(Stateless):
    """Takes the level of the highest score.

    `target` is the return that is asked for, where the network was trained on returns.
    """

    def __init__(
        self, net: nn.Module, device: torch.device | str = "cpu", target: float | None = None
    ) -> None:
        self.net, self.device, self.target = net.to(device), device, target

    @torch.inference_mode()
    def decide(self, sessions: Sessions) -> Ints:
        levels: Ints = self.scores(sessions).argmax(dim=1).cpu().numpy()
        return levels

    @torch.inference_mode()
    def choose(self, sessions: TensorSessions) -> Tensor:
        """The same for sessions as tensors, where they are."""
        n, device = len(sessions), sessions.traces.device
        if n <= MOST_AT_A_TIME:
            return self.scores(sessions).argmax(dim=1)
        parts = torch.arange(n, device=device).split(MOST_AT_A_TIME)
        return torch.cat([self.scores(sessions.take(part)).argmax(dim=1) for part in parts])

    def scores(self, sessions: Sessions | TensorSessions) -> Tensor:
        """One score a level [n, levels]."""
        shared, by_level = observe(sessions, self.device)
        if self.target is not None:
            shared = torch.cat([shared, torch.full_like(shared[:, :1], self.target)], dim=1)
        scores: Tensor = self.net(shared, by_level)
        return scores


def make_net(
    kind: str,
    width: int = 128,
    returns: bool = False,
    pretrained: bool = True,
    layers: int = 8,
    backbone: str | None = None,
    planned: bool = True,
) -> nn.Module:
    """A fresh network of one of `KINDS`; `returns` adds an input, and `planned` what plans
    promise. `pretrained`, `layers` and `backbone`, a folder of weights, are the language model's.
    Raises PolicyError.
    """
    if kind not in KINDS:
        raise PolicyError(f"network {kind!r}: there are {', '.join(KINDS)}")
    if not 8 <= width <= MAX_WIDTH:
        raise PolicyError(f"width {width} must lie from 8 to {MAX_WIDTH}")
    if kind == "llm":
        return LlmScorer(width, returns, pretrained, layers, backbone, planned)
    return LevelScorer("gru" if kind == "gru" else "mlp", width, returns, planned)


def _described(settings: dict[str, str], backbone: str | None) -> nn.Module:
    """The network that a checkpoint's header describes. Raises PolicyError, ValueError."""
    if settings["kind"] == "committee":
        named = [one.partition(":") for one in settings.get("members", "").split(" ")]
        planned = settings.get("planned", "").split(" ") + ["False"] * MAX_MEMBERS
        members = [
            make_net(kind, int(width), planned=plans == "True")
            for (kind, _, width), plans in zip(named[: MAX_MEMBERS + 1], planned, strict=False)
        ]
        return Committee([one for one in members if isinstance(one, LevelScorer)])
    return make_net(
        settings["kind"],
        int(settings.get("width", "0")),
        settings.get("returns") == "True",
        settings.get("pretrained") != "False",
        int(settings.get("layers", "8")),
        backbone,
        # Those of before plans were seen say nothing.
        settings.get("planned") == "True",
    )


def take_encoder(net: nn.Module, path: Path) -> None:
    """Copies the encoder of a trained network into a new one. Raises PolicyError."""
    try:
        net.get_submodule("encoder").load_state_dict(
            load_net(path).get_submodule("encoder").state_dict()
        )
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise PolicyError(
            f"{path}: its encoder does not fit; use the same --width: {first}"
        ) from None


def save_net(net: nn.Module, path: Path, notes: dict[str, str] | None = None) -> None:
    """Writes what was trained, the settings and `notes`; a file that is there is replaced whole."""
    assert isinstance(net, (LevelScorer, LlmScorer, Committee))
    settings = {"task": "abr", "shared": str(SHARED), "per_level": str(PER_LEVEL)}
    settings |= net.settings() | (notes or {})
    frozen = {name for name, value in net.named_parameters() if not value.requires_grad}
    weights = {
        name: value.detach().cpu().contiguous()
        for name, value in net.state_dict().items()
        if name not in frozen
    }
    beside = path.with_name(path.name + ".new")
    save_file(weights, beside, settings)
    beside.replace(path)


def load_net(path: Path | str) -> nn.Module:
    """Reads what `save_net` wrote. Raises PolicyError."""
    return load_policy(path).net


def load_policy(
    path: Path | str,
    device: torch.device | str = "cpu",
    backbone: str | None = None,
) -> Learned:
    """A checkpoint as a policy; `backbone` is a folder of the language model's weights, if not the
    default's. Raises PolicyError.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            settings = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if settings.get("task") != "abr" or settings.get("kind") not in (*KINDS, "committee"):
            raise PolicyError(f"{path}: not a checkpoint for adaptive bitrate streaming")
        net = _described(settings, backbone)
        if isinstance(net, LlmScorer) and settings.get("fingerprint") != net.fingerprint:
            raise PolicyError(f"{path}: trained on other frozen weights than those loaded")
        missing, extra = net.load_state_dict(weights, strict=False)
        trained = {name for name, value in net.named_parameters() if value.requires_grad}
        if extra or trained & set(missing):
            name = sorted([*extra, *(trained & set(missing))])[0]
            raise PolicyError(f"{path}: its weights do not fit this version: {name}")
        target = float(settings["target"]) if "target" in settings else None
    except (OSError, SafetensorError) as error:
        raise PolicyError(f"{path}: cannot be read as safetensors: {error}") from None
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise PolicyError(f"{path}: its weights do not fit this version: {first}") from None
    return Learned(net.eval(), device, target)
