"""The order of records and of closings, one at a time, compiled: see `policy.compiled`."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from policy.compiled import compiled, read_only
from policy.tasks.congestion.fields import DONE, FLOW, NONE

Ints = NDArray[np.int64]
_i8, _flows = types.int64, numba.from_dtype(FLOW)[::1]


@compiled(types.boolean, _flows, read_only(_i8), read_only(_i8))
def in_order(flows: NDArray[np.void], slot: Ints, at_ns: Ints) -> bool:
    """Whether each record comes after those before of its flow, those held included; stale ones do
    not count.
    """
    ordered = True
    for i in range(len(slot)):
        flow: Any = flows[slot[i]]
        if at_ns[i] >= flow.newest_ns:
            flow.newest_ns = at_ns[i]
        elif at_ns[i] >= flow.last_ns:
            ordered = False
    return ordered


@compiled(types.void, _flows, read_only(_i8), _i8[::1])
def line_up(flows: NDArray[np.void], slot: Ints, following: Ints) -> None:
    """Closings of these slots are to come. Writes for each the flow's next one, or DONE."""
    for i in range(len(slot) - 1, -1, -1):
        flow: Any = flows[slot[i]]
        following[i] = DONE if flow.closing == NONE else flow.closing
        flow.closing = i
