"""Regression trees in NumPy: least squares, grown best first up to a number of leaves (Breiman et
al., "Classification and Regression Trees", 1984).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEAF = -1
_CUTS = 64  # places to cut that are tried of each feature: quantiles of its values


@dataclass(frozen=True)
class Tree:
    """Nodes in the order in which they were made, [m] each. feature: that is compared, LEAF at a
    leaf; cut: values at or below go to `left`, the others to `right`; value: mean of the node's
    samples; count: how many these were.
    """

    feature: Ints
    cut: Floats
    left: Ints
    right: Ints
    value: Floats
    count: Ints

    @property
    def leaves(self) -> int:
        """How many leaves there are."""
        return int(np.count_nonzero(self.feature == LEAF))

    def leaf(self, features: Floats) -> Ints:
        """The leaf that each sample of float64[n, f] falls into; int64[n]."""
        node = np.zeros(len(features), np.int64)
        while (inner := self.feature[node] != LEAF).any():
            here = node[inner]
            below = features[inner, self.feature[here]] <= self.cut[here]
            node[inner] = np.where(below, self.left[here], self.right[here])
        return node

    def predict(self, features: Floats) -> Floats:
        """The value of each sample's leaf; float64[n]."""
        return self.value[self.leaf(features)]


def fit(features: Floats, target: Floats, leaves: int = 31, smallest: int = 20) -> Tree:
    """The tree of at most so many leaves, of `smallest` samples at least, whose next split always
    is the one that takes most from the squared error.

    features: float64[n, f]; target: float64[n]. Raises ValueError for no samples.
    """
    if not len(target):
        raise ValueError("no samples to fit a tree to")
    grid = np.quantile(features, np.linspace(0, 1, _CUTS + 2)[1:-1], axis=0)
    nodes: list[list[float]] = [[LEAF, 0.0, 0, 0, float(target.mean()), len(target)]]
    # The best split of every leaf, the one that gains most on top.
    waiting: list[tuple[float, int, int, float, Ints]] = []

    def consider(node: int, samples: Ints) -> None:
        gain, feature, cut = _best(features[samples], target[samples], grid, smallest)
        if gain > 0:
            heapq.heappush(waiting, (-gain, node, feature, cut, samples))

    consider(0, np.arange(len(target)))
    while waiting and (len(nodes) + 1) // 2 < leaves:
        _, node, feature, cut, samples = heapq.heappop(waiting)
        below = features[samples, feature] <= cut
        nodes[node][:4] = [feature, cut, len(nodes), len(nodes) + 1]
        for part in (samples[below], samples[~below]):
            nodes.append([LEAF, 0.0, 0, 0, float(target[part].mean()), len(part)])
            consider(len(nodes) - 1, part)
    columns = np.array(nodes, np.float64).T
    whole = columns[[0, 2, 3, 5]].astype(np.int64)
    return Tree(whole[0], columns[1], whole[1], whole[2], columns[4], whole[3])


def _best(
    features: Floats, target: Floats, grid: Floats, smallest: int
) -> tuple[float, int, float]:
    """Gain, feature and cut of the split that takes most from the squared error; gain 0: none."""
    n, best = len(target), (0.0, LEAF, 0.0)
    if n < 2 * smallest:
        return best
    centred = target - target.mean()
    for feature in range(features.shape[1]):
        place = np.searchsorted(grid[:, feature], features[:, feature])  # first cut at or above
        count = np.cumsum(np.bincount(place, minlength=len(grid) + 1))[:-1]
        total = np.cumsum(np.bincount(place, centred, len(grid) + 1))[:-1]
        allowed = (count >= smallest) & (n - count >= smallest)
        # Between the parts: squared sums over counts, the means being of centred values.
        gain = np.where(
            allowed, total**2 / np.maximum(count, 1) + total**2 / np.maximum(n - count, 1), 0.0
        )
        cut = int(np.argmax(gain))
        if gain[cut] > best[0] + 1e-12:
            best = (float(gain[cut]), feature, float(grid[cut, feature]))
    return best
