"""The experience dataset: a folder of Parquet files, one row per decision window of a flow.

`dataset.json` beside them holds {"schema": 1, "target": …, "reward": …} with the constants of the
labels. Columns:

- `source_trace` (name of the capacity trace that drove the bottleneck), `family` (where that trace
  comes from), `split` ("train", "validation" or "test"; a function of the source trace alone),
  `run`, `cell`, `cc`
- `episode` (unique for one flow of one cell in the whole dataset), `window` i32 (0, 1, … without
  gaps), `end_ns` i64
- every field of `policy.tasks.congestion.fields.FIELDS` as float32, in its physical unit;
  `mss_bytes` float32
- `taken_log2`: the action chosen at the end of this window, log2(next window's asked rate, or send
  rate where the controller asks for none, / bandwidth estimate), clipped to [-1, 1]
- `near_optimal_bps`, `near_optimal_log2`: the action in hindsight
  (`policy.tasks.congestion.labels`)
- `reward` of this window and `return_to_go` behind it
- `queue_bytes` at the bottleneck at `end_ns`, `capacity_bps` (mean over the label's horizon)
- `gcc_bps` (nullable): what the `gcc` tier would have asked for here
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from policy.model.errors import ModelError
from policy.tasks.congestion.fields import FIELDS
from policy.tasks.congestion.labels import Reward, Target
from policy.tasks.splits import SPLITS

SCHEMA_VERSION = 1

SCHEMA = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("source_trace", "family", "split", "run", "cell", "cc", "episode")
        ),
        ("window", pa.int32()),
        ("end_ns", pa.int64()),
        *((name, pa.float32()) for name in FIELDS),
        ("mss_bytes", pa.float32()),
        ("taken_log2", pa.float32()),
        ("near_optimal_bps", pa.float32()),
        ("near_optimal_log2", pa.float32()),
        ("reward", pa.float32()),
        ("return_to_go", pa.float32()),
        ("queue_bytes", pa.float32()),
        ("capacity_bps", pa.float32()),
        ("gcc_bps", pa.float32()),
    ]
)


def describe(folder: Path, target: Target, reward: Reward) -> None:
    """Write `dataset.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"schema": SCHEMA_VERSION, "target": asdict(target), "reward": asdict(reward)}
    (folder / "dataset.json").write_text(json.dumps(record, indent=1) + "\n")


def write_part(folder: Path, name: str, columns: Mapping[str, Any]) -> Path:
    """Write the rows of one cell as `<name>.parquet`, whole or not at all.

    Raises:
        ModelError: a column is missing or unknown.
    """
    wrong = set(columns) ^ set(SCHEMA.names)
    if wrong - {"gcc_bps"}:
        raise ModelError(f"experience part {name!r}: missing or unknown columns {sorted(wrong)}")
    count = len(columns["window"])
    arrays = [
        pa.nulls(count, field.type)
        if field.name not in columns
        else _array(columns[field.name], field.type)
        for field in SCHEMA
    ]
    path = folder / f"{name}.parquet"
    part = path.with_suffix(".part")
    pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), part, compression="zstd")
    part.rename(path)
    return path


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        values = np.asarray(values, np.float32)  # Arrow refuses to round integers
    return pa.array(values, kind)


def read(folder: Path) -> pa.Table:
    """All rows, sorted by episode and window.

    Raises:
        ModelError: not a dataset, of another schema, empty, or a source trace is in two splits.
    """
    record_path = folder / "dataset.json"
    try:
        version = json.loads(record_path.read_text())["schema"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(
            f"{folder} is not an experience dataset: no readable dataset.json"
        ) from None
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"{record_path}: schema {version}, but this version reads {SCHEMA_VERSION}"
        )
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise ModelError(f"{folder} holds no Parquet file")
    tables = []
    for file in files:
        table = pq.read_table(file)
        if set(table.column_names) != set(SCHEMA.names):
            raise ModelError(f"{file}: columns differ from the schema; collect the dataset anew")
        tables.append(table.select(SCHEMA.names).cast(SCHEMA))
    table = pa.concat_tables(tables).sort_by([("episode", "ascending"), ("window", "ascending")])
    pairs = table.group_by(["source_trace", "split"]).aggregate([]).to_pylist()
    seen: dict[str, str] = {}
    for pair in pairs:
        trace, split = pair["source_trace"], pair["split"]
        if split not in SPLITS:
            raise ModelError(f"{folder}: unknown split {split!r} for trace {trace!r}")
        if seen.setdefault(trace, split) != split:
            raise ModelError(
                f"{folder}: trace {trace!r} is in two splits; results would be worthless"
            )
    return table


def families(table: pa.Table) -> Iterable[str]:
    """Names of the trace families in a table, sorted."""
    return sorted(table.column("family").unique().to_pylist())
