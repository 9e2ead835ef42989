"""How the simulator's functions are compiled: without reference counts, which would take most of
the time.

Every call would count the arrays of a cluster up and down. The functions neither make arrays nor
keep them, so nothing needs to be counted; Numba refuses to compile one that makes an array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
# Wrappers for Python would take half of the time of compiling.
_NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(function: Function) -> Function:
    """A function that entries call, compiled as a part of them; Python cannot call it."""
    return cast(Function, numba.njit(**_OPTIONS, **_NO_WRAPPERS)(function))


def entry(function: Function) -> Function:
    """A function that Python calls, without the interpreter's lock; what is compiled is kept."""
    try:
        return cast(Function, numba.njit(cache=True, nogil=True, **_OPTIONS)(function))
    except (OSError, RuntimeError):  # no place to keep what was compiled
        return cast(Function, numba.njit(nogil=True, **_OPTIONS)(function))
