"""Sizes of an observation, for whoever has no PyTorch."""

from __future__ import annotations

from policy.tasks.abr.session import HISTORY

LEVELS = 10
"""Of the longest ladder that a model of several tasks reads."""
# Sizes of so many chunks to come are seen; what lies beyond the video's end repeats the last chunk.
LOOKAHEAD = 5
# A plan at these shares of the estimate: what stalls at each level if the rate falls that far.
SHARES = (0.25, 0.5, 0.75, 1.0)
SHARED = 3 * HISTORY + 13
PER_LEVEL = LOOKAHEAD + 2 * len(SHARES) + 8
