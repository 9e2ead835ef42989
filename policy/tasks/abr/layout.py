"""Sizes of an observation, for whoever has no PyTorch."""

from __future__ import annotations

from policy.tasks.abr.session import HISTORY

LEVELS = 10
"""Of the longest ladder that a model of several tasks reads."""
# Sizes of so many chunks to come are seen; what lies beyond the video's end repeats the last chunk.
LOOKAHEAD = 5
# A plan at these shares of the estimate: what stalls at each level if the rate falls that far.
SHARES = (0.25, 0.5, 0.75, 1.0)
# How far the rate wanders per chunk, as the standard deviation of its logarithm, in plans.
WANDERINGS = (0.0, 0.15, 0.35)
# Plans begin at the estimate of the rate, at robustMPC's forecast and at the newest throughput.
FORECASTS = 3
PLANS = len(WANDERINGS) * FORECASTS
SHARED = 3 * HISTORY + 13
UNPLANNED = LOOKAHEAD + 2 * len(SHARES) + 8
"""Of a level without what plans promise: all that models of several tasks read."""
PER_LEVEL = UNPLANNED + PLANS
