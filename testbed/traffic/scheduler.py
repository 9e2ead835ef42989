"""The names that ``--scheduler`` takes: who schedules a cluster's jobs, as ``--cc`` names who
controls the sending.

A rule (``fair``), ``teacher`` (roll-outs in the master), ``policy`` or ``policy:FOLDER`` (asked of
the policy server: its default, or a checkpoint).
"""

from __future__ import annotations

from collections.abc import Sequence

from policy.errors import PolicyError
from policy.registry import scheduler_name

TEACHER = "teacher"
_POLICY = "policy"


def asked_of_server(scheduler: str) -> str | None:
    """The checkpoint that ``scheduler`` asks of the policy server; None for what decides itself."""
    kind, _, rest = scheduler.partition(":")
    return scheduler_name(rest) if kind == _POLICY else None


def full_scheduler_name(scheduler: str) -> str:
    """``scheduler`` with a checkpoint's path made absolute. Raises PolicyError for what is no
    name.
    """
    from policy.tasks.cjs.policies.registry import RULES  # late: it imports Numba

    served = asked_of_server(scheduler)
    if served is not None:
        return _POLICY if served == "default" else f"{_POLICY}:{served}"
    if scheduler not in (*RULES, TEACHER):
        known = ", ".join((*RULES, TEACHER, _POLICY, "policy:FOLDER"))
        raise PolicyError(f"no scheduler {scheduler!r}; known: {known}")
    return scheduler


def full_scheduler_names(given: Sequence[str]) -> tuple[str, ...]:
    """Full names, no two alike. Raises PolicyError."""
    names = tuple(full_scheduler_name(name) for name in given)
    for name in names:
        if names.count(name) > 1:
            raise PolicyError(f"{name} is named twice; use repeats for more cells")
    return names


def scheduler_label(scheduler: str) -> str:
    """A name for tables: folders without their paths."""
    return f"{_POLICY}:{scheduler.rpartition('/')[2]}" if "/" in scheduler else scheduler
