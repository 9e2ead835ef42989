"""Whether records come in order, one at a time, compiled: see `policy.compiled`."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from policy.compiled import compiled, read_only
from policy.tasks.congestion.fields import FLOW

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
