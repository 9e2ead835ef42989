"""Which source trace is for training, validation or test."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from policy.tasks.base import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def assign_splits(
    family_of: Mapping[str, str], *, validation: float = 0.15, test: float = 0.15, seed: int = 0
) -> dict[str, str]:
    """Split for every source trace, drawn within each family; at least one trace of a family with
    three or more goes to validation and one to test."""
    splits: dict[str, str] = {}
    for family in sorted(set(family_of.values())):
        names = sorted(name for name, of in family_of.items() if of == family)
        rng = np.random.default_rng([seed, *family.encode()])
        order = [names[i] for i in rng.permutation(len(names))]
        least = int(len(names) >= 3)
        n_validation = max(least, round(validation * len(names)))
        n_test = max(least, round(test * len(names)))
        for index, name in enumerate(order):
            splits[name] = (
                "validation"
                if index < n_validation
                else "test"
                if index < n_validation + n_test
                else "train"
            )
    return splits
