"""The whole of a stress test: who collapsed how often, and pair by pair against the kernel's
controllers. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.statistics import paired_difference_ci95
from analysis.stress.verdict import RIVALS, rivals_of, under

COLUMNS = (
    ("utilisation_during", "utilisation during"),
    ("utilisation_after", "after"),
    ("on_time_during", "on time during"),
    ("on_time_after", "after"),
)
"""Column of a row, a share, and its title."""


def collapses(judged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each controller its cells, and in how many it collapses: altogether, and where neither
    bbr nor cubic does under the same failures and seed (`alone`; for these two: the other).
    """
    rivals = rivals_of(judged)
    found: dict[str, dict[str, Any]] = {}
    for row in judged:
        line = found.setdefault(
            row["cc"], {"cc": row["cc"], "cells": 0, "collapsed": 0, "alone": 0}
        )
        others = [other for other in rivals.get(under(row), []) if other["cc"] != row["cc"]]
        line["cells"] += 1
        line["collapsed"] += row["collapse"]
        line["alone"] += row["collapse"] and not any(other["collapse"] for other in others)
    return list(found.values())


def against(judged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each controller but bbr and cubic, and each of these: `pairs` of cells under the
    same failures and seed, and medians of the differences in points of a hundred, as text, with 95
    % intervals from resampled sets of failures.
    """
    rivals = rivals_of(judged)
    found = []
    for cc in dict.fromkeys(row["cc"] for row in judged if row["cc"] not in RIVALS):
        for name in RIVALS:
            pairs = [
                (row, other)
                for row in judged
                if row["cc"] == cc
                for other in rivals.get(under(row), [])
                if other["cc"] == name
            ]
            if pairs:
                cells = [_difference(key, pairs) for key, _ in COLUMNS]
                found.append({"cc": cc, "rival": name, "pairs": len(pairs), "cells": cells})
    return found


def _difference(key: str, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    known = [pair for pair in pairs if None not in (pair[0][key], pair[1][key])]
    if not known:
        return "–"
    first, second = ([100 * pair[side][key] for pair in known] for side in (0, 1))
    sets = [pair[0]["failures"] for pair in known]
    median, interval = paired_difference_ci95(first, second, sets)
    ends = f" [{interval[0]:+.0f}, {interval[1]:+.0f}]" if interval else ""
    return f"{median:+.0f}{ends}"
