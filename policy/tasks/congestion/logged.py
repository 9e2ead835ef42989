"""Decisions with their inputs, as Parquet: one row for each window that closed, in a folder of
parts.

A decision's input is the newest windows of its flow, so a row holds the one window that is new, and
reading puts the history together again (`Logged.batch`), exactly as the policy had it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch
from policy.errors import PolicyError
from policy.tasks.congestion.fields import FIELDS, HISTORY
from policy.tasks.congestion.history import with_estimates

Ints = NDArray[np.int64]
NAMES = ("agent", "rule", "model")
"""Columns of text: in `ROWS` the position in a list of names, -1 for none."""
ROWS = np.dtype(
    [
        ("agent", np.int32),  # who asked: `tcp_congestion` of a cell
        ("flow", np.uint32),  # the agent's slot, as the next
        ("generation", np.uint32),
        ("window", np.int64),
        ("end_ns", np.int64),  # the agent's clock
        ("known", np.int64),  # windows of the flow that the server had, with this one
        ("reasons", np.uint8),  # bits of policy.scheduler.rules.Reason
        ("rule", np.int32),  # who answered at once; -1: nobody
        ("rule_pacing_rate_bps", np.float64),
        ("rule_cwnd_packets", np.float64),
        ("model", np.int32),  # which model answered; -1: none
        ("model_pacing_rate_bps", np.float64),
        ("model_cwnd_packets", np.float64),
        ("model_sent", np.bool_),  # false: too late, or a newer window had closed
        ("mss_bytes", np.float64),
        ("objective", np.float64),  # what the flow wants (policy.objective)
        *((name, np.float64) for name in FIELDS),
    ]
)
"""Of a row; answers that were not given are NaN."""
SCHEMA = pa.schema(
    [
        (name, pa.string() if name in NAMES else pa.from_numpy_dtype(ROWS[name]))
        for name in ROWS.names or ()
    ]
)
_PATTERN = "inputs-*.parquet"
_MAX_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Logged:
    """Rows of a folder, ordered by flow and window; names: of the columns in NAMES."""

    rows: NDArray[np.void]
    names: dict[str, tuple[str, ...]]
    _start: Ints

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def paired(self) -> Ints:
        """Rows that both the rule policy and a model have answered."""
        both = np.isfinite(self.rows["rule_pacing_rate_bps"])
        both &= np.isfinite(self.rows["model_pacing_rate_bps"])
        return np.flatnonzero(both)

    @property
    def flow(self) -> Ints:
        """Number of the flow that each row is of, counted from 0."""
        return np.cumsum(self._start == np.arange(len(self.rows))) - 1

    @property
    def following(self) -> Ints:
        """Row of the same flow's next window; -1: there is none, or windows between are missing."""
        n = len(self.rows)
        following = np.full(n, -1, np.int64)
        if n > 1:
            next_ = (self._start[1:] == self._start[:-1]) & (np.diff(self.rows["window"]) == 1)
            following[:-1][next_] = np.flatnonzero(next_) + 1
        return following

    def name(self, column: str, row: int) -> str:
        """The text of a column of NAMES; "" for none."""
        code = int(self.rows[column][row])
        return self.names[column][code] if code >= 0 else ""

    def batch(self, chosen: Ints, windows: int = HISTORY) -> FlowBatch:
        """What a policy saw when it decided these rows; flows are numbered as they come."""
        position = chosen[:, None] - np.arange(windows)[::-1]
        known = np.minimum(self.rows["known"][chosen], chosen - self._start[chosen] + 1)
        valid = np.arange(windows)[::-1] < known[:, None]
        rows = self.rows[np.where(valid, position, chosen[:, None])]
        fields = np.stack([rows[name] for name in FIELDS], axis=-1)
        fields[~valid] = 0.0
        numbers = np.arange(len(chosen))
        mss_bytes, objective = self.rows["mss_bytes"][chosen], self.rows["objective"][chosen]
        return with_estimates(numbers, fields, valid, mss_bytes, objective)

    def answers(self, chosen: Ints, who: str) -> Actions:
        """What "rule" or "model" answered to these rows."""
        rows = self.rows[chosen]
        return Actions(rows[f"{who}_pacing_rate_bps"], rows[f"{who}_cwnd_packets"])


def write_part(path: Path, rows: NDArray[np.void], names: Sequence[str]) -> None:
    """Write rows as a file that is whole or not there. names: what the columns in NAMES count."""
    columns: list[Any] = []
    for field in SCHEMA:
        column = rows[field.name]
        if field.name in NAMES:
            codes = pa.array(column, mask=column < 0)
            text = pa.array(names, pa.string())
            columns.append(pa.DictionaryArray.from_arrays(codes, text).cast(pa.string()))
        else:
            columns.append(pa.array(np.ascontiguousarray(column)))
    draft = path.with_suffix(".new")
    pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), draft, compression="zstd")
    draft.replace(path)


def next_part(folder: Path) -> int:
    """The number of the first part that the folder does not hold."""
    numbers = [file.stem.removeprefix("inputs-") for file in folder.glob(_PATTERN)]
    return max((int(number) + 1 for number in numbers if number.isdigit()), default=0)


def part_name(number: int) -> str:
    """The file name of a part."""
    return f"inputs-{number:05}.parquet"


def read(folder: Path) -> Logged:
    """All parts of a folder. Raises PolicyError naming the file and what is wrong with it."""
    files = sorted(folder.glob(_PATTERN))
    if not files:
        raise PolicyError(
            f"{folder}: no logged inputs; run with `tbtest run --log-inputs`, under a policy"
        )
    if sum(file.stat().st_size for file in files) > _MAX_BYTES:
        raise PolicyError(f"{folder}: more than {_MAX_BYTES >> 30} GiB of inputs; read fewer parts")
    return _joined(_table(file) for file in files)


def _table(file: Path) -> pa.Table:
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise PolicyError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        raise PolicyError(f"{file}: no column {missing[0]!r}; run again with this version")
    try:
        return table.select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, ValueError) as error:
        raise PolicyError(f"{file}: another schema: {str(error).splitlines()[0]}") from None


def _joined(tables: Iterable[pa.Table]) -> Logged:
    table = pa.concat_tables(tables)
    rows = np.empty(len(table), ROWS)
    names = {}
    for name in SCHEMA.names:
        column = table[name].combine_chunks()
        if name in NAMES:
            known = column.dictionary_encode()
            known = known.combine_chunks() if isinstance(known, pa.ChunkedArray) else known
            names[name] = tuple(str(text) for text in known.dictionary.to_pylist())
            rows[name] = known.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        else:
            rows[name] = column.to_numpy(zero_copy_only=False)
    order = np.lexsort([rows[key] for key in ("window", "generation", "flow", "agent")])
    rows = rows[order]
    new = np.ones(len(rows), bool)
    keys = ("agent", "flow", "generation")
    new[1:] = np.logical_or.reduce([rows[key][1:] != rows[key][:-1] for key in keys])
    start = np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))
    return Logged(rows, names, start)
