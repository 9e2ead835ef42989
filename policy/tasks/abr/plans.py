"""What the best plan from each level on is worth: model predictive control as inputs of a network.

MPC (Yin et al., SIGCOMM 2015) is near the optimum where a link keeps its rate, and wrong where it
does not. A network that sees the values of MPC's plans begins there and learns when to leave it.
"""

from __future__ import annotations

from typing import Any

from policy.tasks.abr.seen import Array, Seen

# A difference of this many seconds of stall is small: it makes log(2) of the input.
SMALL_S = 0.05
# Of robustMPC: an error that counts until WINDOW predictions are judged.
PRIOR_ERROR, WINDOW = 0.3, 5


def promised(xp: Any, seen: Seen, known: Array, kbps: Array, estimate: Array) -> Array:
    """[n, levels, PLANS], 0 at the best level and below 0 at others: the logarithm of what each
    level's best plan is behind, for three forecasts and each way the rate may wander.

    The forecasts are the estimate [n], robustMPC's, which is the estimate over 1 + the worst recent
    error, and the newest throughput.
    """
    robust = estimate / (1 + worst_error(xp, known, kbps))
    chunk = xp.clip(seen.chunk - seen.plans.first, 0, len(seen.plans.values) - 1)
    buffer = seen.buffer_ms / seen.chunk_ms
    last = len(seen.utilities) - 1
    utility = seen.utilities[xp.clip(seen.chunk, None, last)]
    before = seen.utilities[xp.clip(seen.chunk - 1, 0, None), seen.level]
    change = seen.switch * xp.abs(utility - before[:, None])[:, :, None]
    worth = [
        seen.plans.at(xp, chunk, rate, buffer) - change for rate in (estimate, robust, kbps[:, -1])
    ]
    value = xp.concatenate(worth, 2)
    return -xp.log1p((xp.amax(value, 1)[:, None] - value) / SMALL_S)


def worst_error(xp: Any, known: Array, kbps: Array) -> Array:
    """The greatest |predicted - measured| / measured of the last WINDOW chunks [n]; a prediction is
    the harmonic mean of the WINDOW chunks before.
    """
    last = kbps.shape[1]
    worst = (1 - known[:, last - WINDOW - 1]) * PRIOR_ERROR
    for at in range(last - WINDOW, last):
        before = slice(at - WINDOW, at)
        count = known[:, before].sum(1)
        predicted = count / xp.clip((known[:, before] / kbps[:, before]).sum(1), 1e-9, None)
        error = xp.abs(predicted - kbps[:, at]) / kbps[:, at]
        judged = (count > 0) * known[:, at]
        worst = xp.maximum(worst, xp.clip(error, None, 1e3) * judged)
    return worst
