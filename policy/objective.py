"""What a flow wants: the shortest queue, all of the capacity, or something between.

One number: 0 `latency`, 0.5 `balanced`, 1 `throughput`. A policy that takes an objective has
learned one target queue and one cost of asking for too much for each
(`policy.tasks.congestion.labels`).
"""

from __future__ import annotations

NAMES = {"latency": 0.0, "balanced": 0.5, "throughput": 1.0}
BALANCED = NAMES["balanced"]


def parse_objective(value: object) -> float:
    """The number that a name, a number or its text means. Raises ValueError."""
    if isinstance(value, str) and value in NAMES:
        return NAMES[value]
    try:
        number = float(value) if isinstance(value, int | float | str) else float("nan")
    except ValueError:
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"objective {value!r} is neither {', '.join(NAMES)} nor within 0 .. 1")
    return number


def format_objective(objective: float) -> str:
    """Its name if it has one, else the number; `parse_objective` reads both."""
    return next((name for name, at in NAMES.items() if at == objective), f"{objective:g}")
