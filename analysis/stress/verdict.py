"""Graceful or collapse: a row's verdict, with the reasons in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.stress.measure import RECOVERED_SHARE

RECOVER_S = 4.0
LEAST_SHARE = 0.5
RULES = (
    f"A controller collapses where one of its flows is lost (delivers nothing in the last second), "
    f"does not recover within {RECOVER_S:g} s of the failures' end (a second with at least "
    f"{RECOVERED_SHARE:.0%} of what it delivered before them, at most {1 - RECOVERED_SHARE:.0%} of "
    "it in stalls above 100 ms, and no queue of 100 ms), or delivers, during the failures or after "
    "them, "
    "less than "
    f"{LEAST_SHARE:.0%} of what the better of bbr and cubic does under the same failures and seed. "
    "Otherwise it degrades gracefully."
)
OF_SERVER = {"server", "worker"}
"""Failures that only policies have."""
RIVALS = ("bbr", "cubic")
"""The kernel's controllers that others are held against."""


def judge(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `collapse` (bool) and `reasons` (sentences). A set with a killed server is held
    against the kernel's controllers under the set without.
    """
    rivals = rivals_of(rows)
    judged = []
    for row in rows:
        reasons = _reasons(row, rivals.get(under(row), []))
        judged.append({**row, "collapse": bool(reasons), "reasons": reasons})
    return judged


def rivals_of(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """The rows of bbr and cubic, by `under`."""
    rivals: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        if row["cc"] in RIVALS:
            rivals.setdefault(under(row), []).append(row)
    return rivals


def under(row: dict[str, Any]) -> tuple[str, int]:
    """The failures of the network alone, and the seed."""
    names = [name for name in row["failures"].split("+") if name not in OF_SERVER]
    return "+".join(names) or "none", row["seed"]


def _reasons(row: dict[str, Any], rivals: Sequence[dict[str, Any]]) -> list[str]:
    reasons = []
    if row["flows_lost"]:
        reasons.append(f"{row['flows_lost']} of {row['flows']} flows are lost")
    recovery_s = row["recovery_s"]
    if recovery_s is None:
        reasons.append("a flow does not recover before the end")
    elif recovery_s > RECOVER_S:
        reasons.append(f"a flow recovers after {recovery_s:.1f} s")
    for phase in ("during", "after"):
        key = f"utilisation_{phase}"
        others = [rival for rival in rivals if rival[key] is not None]
        if row[key] is None or not others:
            continue
        best = max(others, key=lambda rival: float(rival[key]))
        if row[key] < LEAST_SHARE * best[key]:
            reasons.append(
                f"uses {row[key]:.0%} of the link {phase} the failures, {best['cc']} "
                f"{best[key]:.0%}"
            )
    return reasons
