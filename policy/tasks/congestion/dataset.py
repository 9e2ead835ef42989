"""Experience of the congestion-control task as training samples: histories gathered on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from policy.model.errors import ModelError
from policy.tasks.base import Arrays, Split, TaskConfig
from policy.tasks.congestion import schema
from policy.tasks.congestion.fields import FIELDS
from policy.tasks.congestion.labels import action_log2, at_other_target, target_of
from policy.tasks.congestion.settings import encoder_of

GOLDEN_RATIO = (5**0.5 - 1) / 2
"""Its multiples spread evenly over 0 .. 1 whatever their number."""


class CongestionDataset:
    """A folder that `policy.tasks.congestion.schema` describes."""

    def __init__(self, folder: Path) -> None:
        """Read it. Raises ModelError."""
        self._table = schema.read(folder)

    @property
    def about(self) -> dict[str, Any]:
        return {
            "rows": self._table.num_rows,
            "traces": len(self._table["source_trace"].unique()),
            "families": list(schema.families(self._table)),
        }

    def samples(self, split: Split, config: TaskConfig) -> CongestionSamples:
        return CongestionSamples(self._table, split, config)


class CongestionSamples:
    """One sample per row of one split: the row's window and the w - 1 before it in its episode."""

    def __init__(self, table: pa.Table, split: Split, config: TaskConfig) -> None:
        rows = table.filter(pc.equal(table["split"], split))
        if rows.num_rows == 0:
            raise ModelError(
                f"the dataset has no rows in its {split} split; collect with more traces"
            )
        self._config = config
        self._windows = np.stack([_floats(rows, name) for name in FIELDS], axis=1)
        self._mss = _floats(rows, "mss_bytes")
        self._return_to_go = _floats(rows, "return_to_go")
        label = "near_optimal_log2" if config.objective == "near-optimal" else "taken_log2"
        self._action = _floats(rows, label)
        self._near_optimal, self._capacity, self._queue = (
            _floats(rows, name) for name in ("near_optimal_bps", "capacity_bps", "queue_bytes")
        )
        episodes = rows["episode"].combine_chunks().dictionary_encode().indices.to_numpy()
        changes = np.flatnonzero(np.diff(episodes)) + 1
        starts = np.concatenate([[0], changes])
        self._start = np.repeat(starts, np.diff(np.concatenate([starts, [len(episodes)]])))
        self.families = rows["family"].to_numpy().astype(np.str_)
        bandwidth = self._windows[:, FIELDS.index("bandwidth_bps")]
        gcc = _floats(rows, "gcc_bps")
        self.baselines: dict[str, NDArray[np.float32]] = {"hold": np.zeros(len(self), np.float32)}
        if not np.isnan(gcc).all():
            known = action_log2(np.nan_to_num(gcc), bandwidth).astype(np.float32)
            self.baselines["gcc"] = np.where(np.isnan(gcc), np.float32(np.nan), known)

    def __len__(self) -> int:
        return len(self._action)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Arrays]:
        w = self._config.history
        rows = indices[:, None] + np.arange(1 - w, 1)
        valid = rows >= self._start[indices][:, None]
        rows = np.where(valid, rows, 0)
        now = self._windows[indices]
        inputs: Arrays = {
            "windows": self._windows[rows] * valid[..., None],
            "valid": valid.astype(np.float32),
            "bandwidth_bps": now[:, FIELDS.index("bandwidth_bps")],
            "min_rtt_ns": now[:, FIELDS.index("min_rtt_ns")],
            "mss_bytes": self._mss[indices],
        }
        if self._config.objective == "decision-transformer":
            inputs["return_to_go"] = self._return_to_go[rows] * valid
        targets: Arrays = {"action_log2": self._action[indices]}
        if encoder_of(self._config).objective:
            inputs["objective"], targets = self._for_objectives(indices)
        return inputs, targets

    def _for_objectives(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], Arrays]:
        """An objective for each sample, always the same one, and the targets for it."""
        objective = (indices * GOLDEN_RATIO) % 1.0
        delay_ns, overestimation = target_of(objective)
        rate_bps = at_other_target(
            self._near_optimal[indices],
            delay_ns,
            capacity_bps=self._capacity[indices],
            queue_bytes=self._queue[indices],
            rtt_ns=self._windows[indices, FIELDS.index("min_rtt_ns")],
        )
        action = action_log2(rate_bps, self._windows[indices, FIELDS.index("bandwidth_bps")])
        return objective.astype(np.float32), {
            "action_log2": action.astype(np.float32),
            "overestimation_weight": overestimation.astype(np.float32),
        }

    def target_return(self, quantile: float = 0.9) -> float:
        """The return that a decision transformer is asked for at run time: a high one of those
        seen.
        """
        return float(np.quantile(self._return_to_go, quantile))


def _floats(table: pa.Table, name: str) -> NDArray[np.float32]:
    column: NDArray[np.float32] = table[name].to_numpy(zero_copy_only=False).astype(np.float32)
    return column
