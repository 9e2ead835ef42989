"""The network that a simulated cluster's inputs cross: its links, and who reaches whom over them.

Workers have equal numbers of executors, in the order of their numbers. Every worker receives over
at most one link; what is not on a link takes no time. Real topologies have their capacity in the
direction of data alone, and so have these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from policy.errors import PolicyError
from policy.tasks.cjs.job import FloatArray, IntArray


class Network(NamedTuple):
    """path [workers, workers]: number of the link from the one to the other, -1 for none.
    bytes_per_ms: capacity of each link, of the cluster's clock and the jobs' bytes.
    """

    path: IntArray
    bytes_per_ms: FloatArray


NO_NETWORK = Network(np.full((1, 1), -1, np.int64), np.zeros(0))


def one_link(bps: float) -> Network:
    """All that a task takes from its parents crosses one link, wherever it lies."""
    return Network(np.zeros((1, 1), np.int64), _capacities(1, bps))


def star(pairs: int, bps: float) -> Network:
    """As `--topology star` with so many flows: each receiver behind a link of its own, senders at
    the hub. Receivers are the first workers.
    """
    path = np.full((2 * pairs, 2 * pairs), -1, np.int64)
    path[:, :pairs] = np.arange(pairs)
    np.fill_diagonal(path, -1)
    return Network(path, _capacities(pairs, bps))


def two_racks(pairs: int, bps: float) -> Network:
    """As `--topology dumbbell`: what receivers take from senders shares one link."""
    path = np.full((2 * pairs, 2 * pairs), -1, np.int64)
    path[pairs:, :pairs] = 0
    return Network(path, _capacities(1, bps))


def _capacities(links: int, bps: float) -> FloatArray:
    if not bps > 0:
        raise PolicyError(f"link of {bps} bit/s: give a capacity above 0")
    return np.full(links, bps / 8_000)
