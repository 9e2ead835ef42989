"""The policies by name, and the user's own by `path/to/file.py:Class`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from plugins import absolute, is_reference
from policy.api import Policy, PolicyContext
from policy.errors import PolicyError

Factory = Callable[[PolicyContext], Policy]
_RULES = "policy.tasks.congestion.policies"


@dataclass(frozen=True)
class Entry:
    """One policy of ours.

    about: a sentence for `tbtest policies`; reference: "module:class", imported when asked for and
    called with a PolicyContext; "" for a model, which its checkpoint describes; objective: whether
    a rule takes what each flow wants (`policy.objective`), which a model's checkpoint says.
    """

    about: str
    reference: str = ""
    objective: bool = False


LIGHT = {
    "persistence": Entry(
        "sends what the path has carried, a little more while the queue is short",
        f"{_RULES}.persistence:Persistence",
        objective=True,
    ),
    "gcc": Entry("Google Congestion Control: the gradient of the delay", f"{_RULES}.gcc:Gcc"),
    "bbr-lite": Entry("BBR version 1, once per window", f"{_RULES}.bbr_lite:BbrLite"),
    "aimd": Entry("Reno with pacing, once per window", f"{_RULES}.aimd:Aimd"),
    "hold": Entry("keeps the first estimate: a control for experiments", f"{_RULES}.hold:Hold"),
    "explore": Entry("draws its rate at random, for training data", f"{_RULES}.explore:Explore"),
}
"""Rule policies, which answer at once."""
DEFAULT_LIGHT = "persistence"
"""The rule policy that answers under APC wherever no model does."""
MODELS = {
    "llm": Entry("NIOKA: a small language model that was trained on recorded experience"),
    "gru": Entry("a recurrent network, a control for NIOKA"),
    "mlp": Entry("a network without memory, a control for NIOKA"),
    "transformer": Entry("a transformer without pretraining, a control for NIOKA"),
}
"""Policies that a trained model answers, batched and, in the server, in processes of their own."""
ORACLES = {
    "oracle": Entry("is told the trace beforehand: an upper bound", f"{_RULES}.oracle:Oracle")
}
"""Rules that are told what no sender knows, in the file that the context calls model; served only
where loaded, as models are."""
ALIASES = {"light": DEFAULT_LIGHT}
"""Other names of policies."""

ABR_DEFAULT = Path(__file__).parent / "tasks" / "abr" / "checkpoints" / "mlp.safetensors"
"""The checkpoint that answers players who ask for the policy `default`."""


def scheduler_name(name: str) -> str:
    """The name by which the server knows a cluster's scheduler: a checkpoint's folder made
    absolute.
    """
    if name in ("", "default"):
        return "default"
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else name


def abr_name(name: str) -> str:
    """The name by which the server knows an ABR policy: a checkpoint's path made absolute."""
    if name in ("", "default"):
        return "default"
    a_path = name.endswith(".safetensors") or ("/" in name and Path(name).is_dir())
    return str(Path(name).expanduser().resolve()) if a_path else name


def abr_checkpoint(name: str) -> Path | None:
    """The checkpoint behind an ABR policy that the server knows by this name; None for a rule."""
    if name == "default":
        return ABR_DEFAULT
    return Path(name) if name.endswith(".safetensors") else None


def names() -> tuple[str, ...]:
    """All policies of ours, without aliases."""
    return (*LIGHT, *MODELS, *ORACLES)


def full_name(name: str) -> str:
    """The name by which the server knows a policy: an alias resolved, a file's path made absolute.

    Raises PolicyError, with the nearest names, if there is none of this name.
    """
    if is_reference(name):
        return absolute(name)
    name = ALIASES.get(name, name)
    if name not in names():
        raise PolicyError(f"no policy {name!r}; {nearest(name, (*names(), *ALIASES))}")
    return name


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the names that look like it, else all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"


def check(name: str) -> None:
    """Raises PolicyError if there is no policy of that name. Runs the file of a user's own."""
    if is_reference(name):
        from policy.guest import load

        load(name)
    else:
        full_name(name)


def takes_objective(name: str, checkpoint: str | Path | None = None) -> bool:
    """Whether what a flow wants changes what the policy decides; of a user's own that is not known.

    checkpoint: of a model; None: the bundled one. Raises ModelError if it cannot be read.
    """
    if is_reference(name):
        return True
    if name not in MODELS:
        return LIGHT[name].objective if name in LIGHT else False
    from policy.model.info import read_info, resolve

    encoder = read_info(resolve(checkpoint or name)).model.encoder
    return bool(getattr(encoder, "objective", False))


def wants_process(name: str) -> bool:
    """Whether the server gives the policy a process of its own. Runs the file of a user's own."""
    if is_reference(name):
        from policy.guest import load

        return bool(getattr(load(name), "own_process", False))
    return name in MODELS


def create(name: str, context: PolicyContext, task: str | None = None) -> Policy:
    """Build a policy.

    task: what a model's checkpoint must be for; None: any. Raises PolicyError if there is none of
    this name, or what its own construction raises.
    """
    if is_reference(name):
        from policy.guest import GuestPolicy

        return GuestPolicy(name, context)
    name = full_name(name)
    if name in MODELS:
        from policy.model.load import load_policy

        return load_policy(name, context.model, context.device, task)
    module, _, attribute = (LIGHT | ORACLES)[name].reference.partition(":")
    factory: Factory = getattr(importlib.import_module(module), attribute)
    return factory(context)
