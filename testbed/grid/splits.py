"""Which split each trace of a grid belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch

from policy.tasks.splits import assign_splits
from testbed.errors import UserError
from testbed.grid.axes import Splits


def split_traces(
    splits: Splits, family_of: Mapping[str, str], seed: int, recorded: Mapping[str, str]
) -> dict[str, str]:
    """The split of every trace. What is `recorded` stays: traces added later are drawn among
    themselves.

    Raises UserError for a pattern that meets no trace, a trace that two patterns claim, or one
    whose recorded split differs from what a pattern says.
    """
    if isinstance(splits.validation, float) and isinstance(splits.test, float):
        new = {name: family for name, family in family_of.items() if name not in recorded}
        drawn = assign_splits(new, validation=splits.validation, test=splits.test, seed=seed)
        return {name: recorded.get(name) or drawn[name] for name in family_of}
    asked: dict[str, str] = {}
    for split, patterns in (("validation", splits.validation), ("test", splits.test)):
        assert isinstance(patterns, tuple)
        for pattern in patterns:
            met = [name for name in family_of if fnmatch(name, pattern)]
            if not met:
                raise UserError(f"splits.{split}: {pattern!r} meets no trace of the grid")
            for name in met:
                if asked.setdefault(name, split) != split:
                    raise UserError(
                        f"splits: trace {name} is in validation and in test; change a pattern"
                    )
    result = {name: asked.get(name, "train") for name in family_of}
    for name, split in result.items():
        if recorded.get(name, split) != split:
            raise UserError(
                f"splits: trace {name} is in {recorded[name]} in the dataset, the grid says "
                f"{split}; "
                "change the grid or collect into another --out"
            )
    return result
