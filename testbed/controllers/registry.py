"""The names that ``--cc`` takes: what they mean, their aliases, and which there are.

One grammar for run, league, collect and YAML: a name of the kernel's (``bbr``), ``policy`` (APC),
``policy:NAME``, ``policy:path/to/file.py:Class``, each of a policy with ``@OBJECTIVE`` behind it or
not, ``bpf:path/to/file.bpf.c`` or ``.bpf.o``, ``observe:NAME``, ``app:NAME``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from policy import registry as policies
from policy.errors import PolicyError
from policy.objective import format_objective, parse_objective
from testbed.errors import UserError

APC = "apc"
ORACLE = "oracle"
OBSERVABLE = ("bbr", "cubic", "aimd")
ALIASES = {
    "oracle": f"policy:{ORACLE}",
    f"policy:{APC}": "policy",
    **{f"policy:{alias}": f"policy:{name}" for alias, name in policies.ALIASES.items()},
}
"""Other names of controllers."""
_KERNELS = {
    "bbr": "the kernel's BBR",
    "cubic": "the kernel's CUBIC, Linux's default",
    "reno": "the kernel's Reno",
}


@dataclass(frozen=True)
class Controller:
    """A name taken apart: rest is the policy, file or algorithm that the kind needs; objective:
    what the policy's flows want (`policy.objective`), None where the name does not say.
    """

    kind: Literal["kernel", "policy", "bpf", "observe", "app"]
    rest: str
    objective: float | None = None


def _apart(name: str) -> tuple[str, float | None]:
    """A policy's name and the objective behind it. Raises UserError."""
    base, at, text = name.rpartition("@")
    if not at or "/" in text or not (base + ":").startswith(("policy:", "light:")):
        return name, None
    try:
        return base, parse_objective(text)
    except ValueError as error:
        raise UserError(f"cc {name!r}: {error}") from error


def parse(name: str) -> Controller:
    """A full name (`full_name`) taken apart. Raises UserError for an objective that is none."""
    base, objective = _apart(name)
    kind, colon, rest = base.partition(":")
    if kind == "policy":
        return Controller("policy", rest or APC, objective)
    if colon and kind == "bpf":
        return Controller("bpf", rest)
    if colon and kind == "observe":
        return Controller("observe", rest)
    if colon and kind == "app":
        return Controller("app", rest)
    return Controller("kernel", name)


def full_name(name: str) -> str:
    """The name without aliases and with absolute paths, so that it means the same in every
    process. Raises UserError, with the nearest names, for a policy or an algorithm that is unknown.
    """
    base, objective = _apart(name)
    behind = "" if objective is None else f"@{format_objective(objective)}"
    name = ALIASES.get(base, base) + behind
    controller = parse(name)
    if controller.kind == "policy" and controller.rest != APC:
        try:
            return f"policy:{policies.full_name(controller.rest)}{behind}"
        except PolicyError as error:
            raise UserError(f"cc {name!r}: {error}") from error
    if controller.kind == "bpf":
        return f"bpf:{Path(controller.rest).expanduser().resolve()}"
    if controller.kind == "observe" and controller.rest not in OBSERVABLE:
        known = policies.nearest(name, [f"observe:{algorithm}" for algorithm in OBSERVABLE])
        raise UserError(f"cc {name!r}: it cannot be observed; {known}")
    return name


def label(name: str) -> str:
    """A name for tables and folders: files without their paths."""
    controller = parse(name)
    if "/" in controller.rest:
        return f"{controller.kind}:{name.rpartition('/')[2]}"
    return name


def full_names(given: Sequence[str]) -> tuple[str, ...]:
    """Full names, no two of which mean the same or look the same. Raises UserError."""
    names = tuple(full_name(name) for name in given)
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{label(name)} is named twice; use repeats or seeds for more cells")
    labels = [label(name) for name in names]
    for name in labels:
        if labels.count(name) > 1:
            raise UserError(f"two controllers would both be called {name}; rename one of the files")
    return names


def of_policies(names: Sequence[str]) -> tuple[str, ...]:
    """The policies, APC among them, that controllers of these names ask of a shared server."""
    parsed = [parse(name) for name in names]
    return tuple(
        controller.rest
        for controller in parsed
        if controller.kind == "policy" and controller.rest != ORACLE
    )


def served(asked: Sequence[str]) -> dict[str, object]:
    """Settings of a server that has what is asked of it: models and users' own policies loaded.

    asked: as `of_policies` says.
    """
    loaded = sorted({name for name in asked if name != APC and name not in policies.LIGHT})
    settings: dict[str, object] = {"tiers": loaded}
    if APC not in asked:
        settings["difficult"] = None  # nobody asks for APC: spare the loading of its model
    return settings


def listing() -> list[tuple[str, str]]:
    """What ``--cc`` takes, with a sentence each."""
    apc = "adaptive policy collaboration: a rule policy, and a model for the flows in difficulty"
    rows = [*_KERNELS.items(), ("policy", apc)]
    for table in (policies.LIGHT, policies.MODELS, policies.ORACLES):
        rows += [(f"policy:{name}", entry.about) for name, entry in table.items()]
    rows += [(alias, f"the same as {name}") for alias, name in ALIASES.items()]
    rows += [
        (f"observe:{name}", f"the kernel's {name} with every ACK recorded") for name in OBSERVABLE
    ]
    rows.append(("policy:FILE.py:Class", "your own policy in Python; naming the file runs it"))
    rows.append(("policy:NAME@OBJECTIVE", "latency, balanced, throughput or a number from 0 to 1"))
    rows.append(("bpf:FILE.bpf.c", "your own controller in eBPF, compiled at once; or a .bpf.o"))
    rows.append(("app:NAME", "the program's own, {cc} of its command line; with --flow command"))
    return rows


def nearest(name: str, kernels: Sequence[str]) -> str:
    """What to say of a name that no kernel offers."""
    known = [name for name, _ in listing() if "FILE" not in name and "NAME" not in name]
    return policies.nearest(name, dict.fromkeys([*kernels, *known]))
