"""Runs of `campaign.py` as they lie on disk, and differences between rows with their intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Runs = dict[str, dict[str, Any]]
RESAMPLES = 10_000
_SEED = 20_251_211
LABELS = {"congestion": "congestion", "abr": "streaming", "cjs": "scheduling"}


def load(source: Path) -> Runs:
    """The runs that ended, and curves as far as they got, by name: of a campaign's folder, or of
    one file that holds them all.
    """
    if source.is_file():
        records = json.loads(source.read_text())["runs"]
        return {record["name"]: record for record in records}
    records = [
        json.loads(file.read_text())
        for files in ("runs/*.part", "runs/*.json", "references/*.json")
        for file in sorted(source.glob(files))
    ]
    runs = {record["name"]: record for record in records if "failed" not in record}
    for file in sorted((source / "judged").glob("*.json")):
        judged = json.loads(file.read_text())
        if judged["run"] in runs and "failed" not in judged["found"]:
            _add(runs[judged["run"]], judged)
    return runs


def _add(run: dict[str, Any], judged: dict[str, Any]) -> None:
    """Put what was found out of a checkpoint into its run, or into the point of its curve."""
    found, part, left = judged["found"], judged["part"], run.get("left")
    if judged["point"] is None:
        if part == "look":
            run |= {key: value for key, value in found.items() if key != "s"}
        else:
            run.setdefault("closed", {})[part] = found
        return
    share, way = judged["point"]
    (point,) = (one for one in run["points"] if (one["share"], one["way"]) == (share, way))
    if part == "look":
        point |= {side: found["losses"][side][left] for side in ("validation", "test")}
        point["measure"] = found["measures"][left]
    else:
        point["closed"] = found["units"]


def seeds_of(runs: Runs, row: str, task: str) -> dict[int, dict[str, Any]]:
    """Records of a row for a task by seed, whether trained on all tasks or on that one alone."""
    return {
        record["seed"]: record
        for name, record in runs.items()
        if name.split("/")[0] in (row, f"{row}-{task}") and task in record.get("tasks", ())
        if record["kind"] != "few"
    }


def by_unit(record: dict[str, Any], task: str, closed: bool) -> Floats | None:
    """Values of the test units, in the closed loop or of the task's error; less is better of
    errors.
    """
    if not closed:
        return np.array(record["units"][task]) if "units" in record else None
    units = record.get("closed", {}).get(task, {}).get("units")
    return None if units is None else np.array([units[name] for name in sorted(units)])


def table_of(runs: Runs, row: str, task: str, closed: bool) -> Floats | None:
    """Values [seeds, units]; None where there are none."""
    values = [by_unit(record, task, closed) for record in seeds_of(runs, row, task).values()]
    known = [one for one in values if one is not None]
    return np.stack(known) if known else None


def difference(one: Floats, other: Floats, sign: float) -> tuple[float, float, float]:
    """One less other in per cent of the other's mean, and its interval."""
    random = np.random.default_rng(_SEED)
    units = one.shape[1]
    own, theirs = (
        _means(table, random.integers(0, len(table), (RESAMPLES, len(table))))
        for table in (one, other)
    )
    drawn = random.integers(0, units, (RESAMPLES, units))
    gap = np.take_along_axis(own - theirs, drawn, axis=1).mean(axis=1)
    size = abs(float(other.mean()))
    low, high = np.percentile(100 * sign * gap / size, [2.5, 97.5])
    return 100 * sign * float(one.mean() - other.mean()) / size, float(low), float(high)


def _means(table: Floats, seeds: NDArray[np.int64]) -> Floats:
    """Means over drawn seeds [resamples, units]."""
    counts = np.apply_along_axis(np.bincount, 1, seeds, minlength=len(table))
    means: Floats = counts @ table / len(table)
    return means
