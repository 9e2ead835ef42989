"""The smallest change of what a flow saw that would have changed its rate notably."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.explain.attribution import Act
from policy.explain.neutral import PATCH, repeated
from policy.tasks.congestion.fields import F

Floats = NDArray[np.float64]
NOTABLE = 0.2
"""Share of the rate that is a notable change."""
_SIZES = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)


@dataclass(frozen=True)
class Edit:
    """A change of the newest windows, its fields changed together. apply: windows [n, p, F] in
    place, by so many steps [n, 1]; words: a change in words, by steps; step: what a step is.
    """

    name: str
    apply: Callable[[Floats, Floats], None]
    words: Callable[[float], str]


def _queue(rows: Floats, steps: Floats) -> None:
    added = np.maximum(steps * 10e6, -rows[:, :, F["queueing_delay_ns"]])
    for name in ("queueing_delay_ns", "rtt_mean_ns", "rtt_min_ns", "srtt_ns"):
        rows[:, :, F[name]] += added


def _scaled(*names: str) -> Callable[[Floats, Floats], None]:
    def apply(rows: Floats, steps: Floats) -> None:
        for name in names:
            rows[:, :, F[name]] *= 2 ** (steps / 4)

    return apply


def _loss(rows: Floats, steps: Floats) -> None:
    rate = np.clip(rows[:, :, F["loss_rate"]] + steps / 100, 0, 1)
    rows[:, :, F["loss_rate"]] = rate
    rows[:, :, F["lost_bytes"]] = rate / np.maximum(1 - rate, 0.01) * rows[:, :, F["acked_bytes"]]
    lost = rate > 0
    rows[:, :, F["since_loss_ns"]] = np.where(lost, 0.0, rows[:, :, F["since_loss_ns"]])


def _gradient(rows: Floats, steps: Floats) -> None:
    rows[:, :, F["rtt_gradient"]] += steps / 20


def _amount(steps: float, unit: float, text: str) -> str:
    return f"{abs(steps) * unit:.3g} {text.format('more' if steps > 0 else 'less')}"


def _percent(steps: float, text: str) -> str:
    return f"{abs(2 ** (steps / 4) - 1):.0%} {'more' if steps > 0 else 'less'} {text}"


EDITS = (
    Edit("queueing delay", _queue, lambda s: _amount(s, 10, "ms {} queueing delay")),
    Edit(
        "delivery rate",
        _scaled("delivery_rate_bps", "acked_bytes", "acks"),
        lambda s: _percent(s, "delivered"),
    ),
    Edit(
        "in flight",
        _scaled("inflight_bytes", "cwnd_bytes"),
        lambda s: _percent(s, "in flight"),
    ),
    Edit("send rate", _scaled("send_rate_bps"), lambda s: _percent(s, "sent")),
    Edit("loss", _loss, lambda s: _amount(s, 1, "points {} loss")),
    Edit("RTT gradient", _gradient, lambda s: f"an RTT gradient {s / 20:+.2f} different"),
)


@dataclass(frozen=True)
class Counterfactual:
    """What would have been. steps: size of the change, by which the nearest is chosen; change:
    of the rate, as a share.
    """

    edit: str
    steps: float
    change: float
    words: str


def nearest(batch: FlowBatch, act: Act, windows: int = PATCH) -> list[Counterfactual]:
    """For the one flow of the batch, the smallest edit of its newest windows after which the rate
    would be NOTABLE lower, and the one after which it would be NOTABLE higher, where there are any.
    """
    sizes = np.array([sign * size for size in _SIZES for sign in (1, -1)])
    tried = []
    for edit in EDITS:
        many = repeated(batch, len(sizes))
        changed = many.windows.copy()
        rows = changed[:, -windows:]
        edit.apply(rows, sizes[:, None])
        changed[~many.valid] = 0.0
        tried.append(replace(many, windows=changed))
    own = act(batch)[0]
    found: dict[bool, Counterfactual] = {}
    for edit, each in zip(EDITS, tried, strict=True):
        change = np.exp2(act(each) - own) - 1
        for steps, moved in zip(sizes.tolist(), change.tolist(), strict=True):
            if abs(moved) < NOTABLE:
                continue
            best = found.get(moved > 0)
            if best is None or abs(steps) < abs(best.steps):
                more = "more" if moved > 0 else "less"
                words = f"with {edit.words(steps)} it would have asked for {abs(moved):.0%} {more}"
                found[moved > 0] = Counterfactual(edit.name, steps, moved, words)
    return list(found.values())
