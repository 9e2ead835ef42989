"""What travels between an environment, a policy and a model: named arrays of static shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ArraySpec:
    """One named array of a sample.

    shape: without the batch dimension. Where the number of entries varies (candidates, levels,
    windows), the first dimension is the largest number, and `mask` names the array that says which
    entries exist; what does not exist is zero.
    dtype: NumPy's name of the type of the values.
    about: meaning and unit, for documentation.
    """

    name: str
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    about: str = ""
    mask: str = ""


@dataclass(frozen=True)
class _Spec:
    """Arrays in a fixed order, and the type that holds a batch of them.

    make: called with the arrays [n, *shape] by name; what it returns has them as attributes. By
    default a `Row`.
    """

    arrays: tuple[ArraySpec, ...]
    make: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        shapes = self.shapes
        if len(shapes) != len(self.arrays):
            raise ValueError(f"array names occur twice: {[array.name for array in self.arrays]}")
        for array in self.arrays:
            if array.mask and shapes.get(array.mask, array.shape) != array.shape[:1]:
                raise ValueError(f"mask {array.mask!r} of {array.name!r} has another shape")
            if array.mask and array.mask not in shapes:
                raise ValueError(f"mask {array.mask!r} of {array.name!r} is no array of the spec")

    def __iter__(self) -> Iterator[ArraySpec]:
        return iter(self.arrays)

    @property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(array.name for array in self.arrays)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array of one sample."""
        return {array.name: array.shape for array in self.arrays}

    def batch(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """The batch that holds these arrays [n, *shape]."""
        return Row(arrays) if self.make is None else self.make(**arrays)

    def empty(self, count: int) -> dict[str, NDArray[Any]]:
        """Arrays [count, *shape] whose values are not set."""
        return {array.name: np.empty((count, *array.shape), array.dtype) for array in self.arrays}


class InputSpec(_Spec):
    """An observation: what a policy sees, or what a model's encoder reads."""


class ActionSpec(_Spec):
    """What a policy decides."""


class Row:
    """A batch as plain attributes, for tasks that need no type of their own."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = dict(arrays)

    def __getattr__(self, name: str) -> NDArray[Any]:
        try:
            return self.__dict__["_arrays"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"no array {name!r}") from None

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))
