"""Loops compiled with Numba on first call, and kept beside the source where that can be written.

Without Numba the loops run as they stand, far slower.

What is kept is renewed when its own file changes, not when a module that it calls does: after a
change in `network.py`, delete `__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

try:
    import numba
except ImportError:  # pragma: no cover
    numba = None  # type: ignore[assignment]

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, compiled for the types of its first call; divisions by zero are NumPy's,
    infinite.
    """

    if numba is None:
        return function

    def compiled(cache: bool) -> Callable[P, R]:
        return cast(
            Callable[P, R], numba.njit(cache=cache, nogil=True, error_model="numpy")(function)
        )

    try:
        return compiled(cache=True)
    except RuntimeError:  # no folder to keep it in
        return compiled(cache=False)
