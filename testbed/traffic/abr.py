"""The names that ``--abr`` takes: who chooses the levels of a video, as ``--cc`` names who controls
the sending.

A rule with its options (``robust-mpc:horizon=8``), ``policy`` or ``policy:NAME`` (asked of the
policy server: a rule without memory, a checkpoint's path, or a model of several tasks by its folder
or the name under which it ships), ``dash.js`` (the browser's own).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policy.errors import PolicyError
from policy.registry import abr_checkpoint, abr_name

DASH = "dash"
"""The kind of traffic whose levels are chosen."""
DASH_JS = "dash.js"
"""The rules that the browser's player brings."""
_POLICY = "policy"


def asked_of_server(abr: str) -> str | None:
    """The policy that ``abr`` asks of the policy server; None where the player decides itself."""
    kind, _, rest = abr.partition(":")
    return abr_name(rest) if kind == _POLICY else None


def asked_by(scenario: Mapping[str, Any]) -> list[str]:
    """The policies that players of a scenario, as it is written, ask of the policy server."""
    named = scenario.get("abr") or [scenario.get("flow_options", {}).get("abr", "")]
    if scenario.get("flow") != DASH:
        return []
    return [asked for name in named if (asked := asked_of_server(name)) is not None]


def full_abr_name(abr: str) -> str:
    """``abr`` with a checkpoint's path made absolute. Raises PolicyError for what is no name."""
    from policy.tasks.abr.measured import check_live, check_served  # late: they import Numba
    from policy.tasks.abr.rules import RULES, make_rule

    served = asked_of_server(abr)
    if served is not None and served != "default" and _checkpoint(served) is None:
        check_served(make_rule(served), served)
    if served is not None:
        return _POLICY if served == "default" else f"{_POLICY}:{served}"
    if abr.endswith(".safetensors"):
        raise PolicyError(f"abr {abr!r}: a checkpoint is asked of the server: policy:{abr}")
    if abr == DASH_JS:
        return abr
    if abr.partition(":")[0] not in RULES:
        known = ", ".join((*RULES, _POLICY, "policy:NAME", DASH_JS))
        raise PolicyError(f"no abr {abr!r}; known: {known}")
    check_live(make_rule(abr), abr)
    return abr


def listing() -> list[tuple[str, str]]:
    """What ``--abr`` takes, with a sentence each."""
    from policy.tasks.abr.measured import check_live
    from policy.tasks.abr.rules import ABOUT, make_rule

    rows = []
    for name, about in ABOUT.items():
        try:
            check_live(make_rule(name), name)
        except PolicyError:
            continue
        rows.append((name, about))
    return [
        *rows,
        (_POLICY, "the checkpoint that ships, asked of the policy server"),
        (
            f"{_POLICY}:NAME",
            "a rule without memory, a checkpoint FILE.safetensors, or a model of several tasks, "
            "asked so",
        ),
        (DASH_JS, "the browser's own rules; with flow_options player=chromium"),
    ]


def checkpoint_sha256(asked: Sequence[str], external: bool) -> str:
    """What identifies the content of the checkpoint that players ask for by these names; "" where
    a rule answers. ``external``: whose default is which, only that server knows.
    """
    files = [
        file
        for name in asked
        if (file := _checkpoint(name)) is not None and not (external and name == "default")
    ]
    try:
        return " ".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    except OSError as error:
        raise PolicyError(f"abr policy:{files[0]}: cannot be read: {error.strerror}") from None


def _checkpoint(name: str) -> Path | None:
    """The file that identifies the checkpoint of this name: of one network itself, of a model of
    several tasks its config.json, which holds the hashes of all others; None for a rule. Raises
    PolicyError for a folder that holds no model for players.
    """
    from policy.model.info import model_folder, read_info  # late: rules need no models

    folder = model_folder(name, "abr")
    if folder is None:
        return abr_checkpoint(name)
    if "abr" not in read_info(folder).tasks:
        raise PolicyError(f"abr policy:{name}: the model there chooses no levels (task abr)")
    return folder / "config.json"


def full_abr_names(given: Sequence[str]) -> tuple[str, ...]:
    """Full names, no two alike. Raises PolicyError."""
    names = tuple(full_abr_name(name) for name in given)
    for name in names:
        if names.count(name) > 1:
            raise PolicyError(f"{name} is named twice; use repeats for more cells")
    return names


def split_abr_names(text: str) -> list[str]:
    """Names that commas separate; an option behind another one's comma stays with its name."""
    from policy.tasks.abr.evaluate import policy_names  # late: it imports Numba

    return [name.strip() for name in policy_names(text)]


def abr_label(abr: str) -> str:
    """A name for tables: files without their paths."""
    return f"{_POLICY}:{abr.rpartition('/')[2]}" if "/" in abr else abr
