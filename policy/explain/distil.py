"""A small tree in a policy's place: fitted to the actions that the policy takes, judged on windows
that the tree has not seen, and written as a policy of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy.explain.readable import READABLE
from policy.explain.tree import LEAF, Tree, fit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEAVES = 31
BLOCK = 50
"""Windows in a row that are held out, or not, together: neighbours are alike."""
_HELD_OUT = 4  # each such block


@dataclass(frozen=True)
class Distilled:
    """A tree and how much of the policy's variance it explains, on windows it was fitted to and on
    the others. predicted, wanted: of the others.
    """

    tree: Tree
    fitted_r2: float
    held_out_r2: float
    predicted: Floats
    wanted: Floats


def held_out(flow: Ints) -> NDArray[np.bool_]:
    """Which windows, in order of flow and time, are for judging; flow: int64[n]."""
    starts = np.flatnonzero(np.diff(flow, prepend=flow[:1] - 1))
    within = np.arange(len(flow)) - np.repeat(starts, np.diff(np.append(starts, len(flow))))
    block = within // BLOCK + np.cumsum(np.diff(flow, prepend=flow[:1]) != 0)
    out: NDArray[np.bool_] = block % _HELD_OUT == _HELD_OUT - 1
    return out


def distil(features: Floats, action: Floats, flow: Ints, leaves: int = LEAVES) -> Distilled:
    """features: float64[n, f] of `readable`; action: float64[n]; flow: int64[n], in order. Raises
    ValueError where there are too few windows to hold any out.
    """
    judged = held_out(flow)
    if judged.sum() < BLOCK // 2:
        raise ValueError(
            f"{len(flow)} windows are too few to fit a tree and to judge it; at least "
            f"{_HELD_OUT * BLOCK} are needed: a longer run, or more flows"
        )
    tree = fit(features[~judged], action[~judged], leaves)
    predicted = tree.predict(features)
    return Distilled(
        tree,
        r2(predicted[~judged], action[~judged]),
        r2(predicted[judged], action[judged]),
        predicted[judged],
        action[judged],
    )


def r2(predicted: Floats, wanted: Floats) -> float:
    """Share of the variance that is explained; NaN where there is none."""
    spread = float(((wanted - wanted.mean()) ** 2).sum())
    return 1 - float(((predicted - wanted) ** 2).sum()) / spread if spread > 0 else float("nan")


def rules(tree: Tree) -> str:
    """The tree as indented text: conditions, and at the leaves the rate over the estimate."""
    lines: list[str] = []

    def walk(node: int, depth: int) -> None:
        pad = "  " * depth
        if tree.feature[node] == LEAF:
            factor, count = 2 ** tree.value[node], tree.count[node]
            lines.append(f"{pad}rate {factor:.2f} × estimate   ({count} windows)")
            return
        number = READABLE[tree.feature[node]]
        unit = f" {number.unit}" if number.unit else ""
        lines.append(f"{pad}if {number.name} <= {tree.cut[node]:.3g}{unit}:")
        walk(int(tree.left[node]), depth + 1)
        lines.append(f"{pad}else:")
        walk(int(tree.right[node]), depth + 1)

    walk(0, 0)
    return "\n".join(lines)


_POLICY = '''"""A tree of {leaves} leaves, distilled from {source}; R2 on held-out windows {r2:.3f}.

    sudo tbtest run --cc policy:{name}:Tree,policy

{rules}
"""

import numpy as np

from policy.explain.readable import READABLE, readable
from policy.explain.tree import Tree as Nodes
from policy.tasks.congestion.settings import ServingConfig
from policy.tasks.congestion.task import CongestionTask
from tbtest import Actions, FlowBatch

FEATURES = {features}
NODES = Nodes(
    np.array({feature}),
    np.array({cut}),
    np.array({left}),
    np.array({right}),
    np.array({value}),
    np.array({count}),
)
SERVING = ServingConfig(**{serving})


class Tree:
    """See the module."""

    yields = True

    def __init__(self) -> None:
        if [each.name for each in READABLE] != FEATURES:
            raise ValueError("the features have changed since; distil the tree again")

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """The leaf's action, turned into rate and cwnd as a model's is."""
        return CongestionTask().actions(NODES.predict(readable(batch)), batch, SERVING)
'''


def write_policy(path: Path, distilled: Distilled, source: str, serving: dict[str, float]) -> None:
    """Write the tree as a Python file for `--cc policy:FILE:Tree`."""
    tree = distilled.tree
    columns = {name: column.tolist() for name, column in vars(tree).items()}
    text = _POLICY.format(
        leaves=tree.leaves,
        source=source,
        r2=distilled.held_out_r2,
        name=path.name,
        rules=rules(tree),
        features=[each.name for each in READABLE],
        serving=serving,
        **columns,
    )
    path.write_text(text, encoding="utf-8")
