"""Failures as parts of a scenario: steps of the bottleneck, routes, the way back, killed processes.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from testbed.units import NS_PER_MS, format_rate

LOSS, CAPACITY, ROUTE, REVERSE = "loss", "capacity", "route", "reverse"
OF_SERVER = ("server", "worker")
_CONNECT_NS = 500 * NS_PER_MS
KINDS = (LOSS, CAPACITY, ROUTE, REVERSE, *OF_SERVER)


class Sizes(Protocol):
    """How large the failures are: the part of a grid that is about them."""

    rate_bps: float
    before_ns: int
    during_ns: int
    loss: float
    burst_ns: int
    capacity: float
    flap_ns: int
    reverse_bps: float


def settings_of(sizes: Sizes, failures: Sequence[str], seed: int) -> dict[str, Any]:
    """Keys of the scenario in which these failures, names of KINDS, act together."""
    begin_ns, end_ns = sizes.before_ns, sizes.before_ns + sizes.during_ns
    window = {"at": _ms(begin_ns), "stop": _ms(end_ns)}
    broken: list[dict[str, Any]] = []
    if ROUTE in failures:
        broken.append({"kind": "link", "link": "short", "every": _ms(sizes.flap_ns), **window})
    # A server that has died comes back when the failures end, as under a supervisor.
    broken += [{"kind": kind, **window} for kind in OF_SERVER if kind in failures]
    settings: dict[str, Any] = {"steps": _steps(sizes, failures, seed), "failures": broken}
    if REVERSE in failures:
        settings["reverse"] = format_rate(sizes.reverse_bps)
        # Before the rest fails, or it might never be connected.
        start = _ms(begin_ns - _CONNECT_NS)
        settings["cross_traffic"] = [
            {"kind": "bulk", "direction": "reverse", "start": start, "stop": window["stop"]}
        ]
    return settings


def bursts_ns(loss: float, burst_ns: int, begin_ns: int, end_ns: int, seed: int) -> list[int]:
    """Edges of bursts in which every packet is lost: begin, end, begin, ... within the window.

    Bursts and the times between them are exponential (a Gilbert model in time), with a mean that
    makes ``loss`` the share of the window; at least one millisecond each.
    """
    random = np.random.default_rng([seed, 30])
    whole_ns = burst_ns * (1 - loss) / loss
    edges, at_ns, lost = [], begin_ns, False
    while True:
        mean_ns = burst_ns if lost else whole_ns
        at_ns += max(NS_PER_MS, round(random.exponential(mean_ns) / NS_PER_MS) * NS_PER_MS)
        if at_ns >= end_ns:
            break
        edges.append(at_ns)
        lost = not lost
    return edges if not lost else [*edges, end_ns]


def _steps(sizes: Sizes, failures: Sequence[str], seed: int) -> list[dict[str, Any]]:
    begin_ns, end_ns = sizes.before_ns, sizes.before_ns + sizes.during_ns
    edges = (
        bursts_ns(sizes.loss, sizes.burst_ns, begin_ns, end_ns, seed) if LOSS in failures else []
    )
    bursts = list(zip(edges[::2], edges[1::2], strict=True))
    low_bps = sizes.rate_bps * (sizes.capacity if CAPACITY in failures else 1)
    steps = []
    for first_ns in (0, *sorted({begin_ns, end_ns, *edges})):
        failing = begin_ns <= first_ns < end_ns
        lost = any(begin <= first_ns < end for begin, end in bursts)
        steps.append(
            {
                "at": _ms(first_ns),
                "rate": format_rate(low_bps if failing else sizes.rate_bps),
                "loss": "100%" if lost else "0%",
            }
        )
    return steps


def _ms(value_ns: int) -> str:
    return f"{value_ns / NS_PER_MS:g}ms"
