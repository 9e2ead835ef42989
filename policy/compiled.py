"""Loops compiled with Numba when their module is imported, for the types that they say.

Compiling takes seconds, so what is compiled is kept: in `__pycache__` beside the source, in the
user's cache if that cannot be written, or in the folder that NUMBA_CACHE_DIR names. Without any of
these every start compiles anew. What is kept is renewed when the source file or the types change,
and not when a module changes that the file imports: loops that call each other are to be in one
file, with the constants that they use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray
from pydantic import BaseModel

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(result: Any, *arguments: Any) -> Callable[[Loop], Loop]:
    """Compile a function for arguments and result of these Numba types. Divisions are NumPy's: by
    zero is infinite.
    """

    def decorate(function: Loop) -> Loop:
        def compile_(cache: bool) -> Loop:
            return cast(
                Loop, numba.njit(result(*arguments), cache=cache, error_model="numpy")(function)
            )

        try:
            return compile_(cache=True)
        except (OSError, RuntimeError):  # no place to keep it, or no room there
            return compile_(cache=False)

    return decorate


def inner(function: Loop) -> Loop:
    """A function that compiled loops of the same file call, compiled as a part of them."""
    return cast(Loop, numba.njit(error_model="numpy")(function))


def read_only(kind: Any, dimensions: int = 1) -> Any:
    """The type of an array that is only read, its elements at any distance."""
    return types.Array(kind, dimensions, "A", readonly=True)


def settings_type(kind: type[BaseModel]) -> np.dtype[np.void]:
    """The type of a record that holds settings, all of which are numbers."""
    return np.dtype([(name, np.float64) for name in kind.model_fields])


def settings_record(settings: BaseModel) -> NDArray[np.void]:
    """Settings for compiled loops: an array of one record, of `settings_type`."""
    return np.array([tuple(settings.model_dump().values())], settings_type(type(settings)))
