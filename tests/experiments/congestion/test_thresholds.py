"""The APC thresholds in the closed loop, with tiers that are fakes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.congestion import thresholds
from experiments.congestion.thresholds import Collaboration
from policy.api import Actions, FlowBatch
from policy.scheduler.thresholds import ApcConfig
from policy.tasks.congestion.fields import FIELDS, F


class Constant:
    def __init__(self, name: str, rate_bps: float) -> None:
        self.name, self.rate_bps = name, rate_bps

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        return Actions(np.full(len(batch), self.rate_bps), np.full(len(batch), 100.0))

    def forget(self, flows: Sequence[int]) -> None: ...


def test_thresholds_scale_together_and_stay_valid() -> None:
    config = ApcConfig()
    for factor in (0.25, 8.0, 1000.0):
        other = ApcConfig.model_validate(config.scaled(factor).model_dump())
        assert other.queueing_on == config.queueing_on * factor
        assert other.loss_on == min(config.loss_on * factor, 1.0)
        assert other.calm_windows == config.calm_windows


def test_each_group_of_flows_has_its_own_thresholds() -> None:
    tier = Collaboration(
        Constant("persistence", 1e6), Constant("llm", 2e6), ("always", 1.0, 8.0, "never"), 1
    )
    windows = np.zeros((4, 5, len(FIELDS)))
    windows[..., F["acks"]] = 10
    windows[..., F["duration_ns"]] = 1e8
    windows[..., F["queueing_delay_ns"]] = 60e6  # above 1 x the threshold, below 8 x
    full = np.full(4, 40e6)
    batch = FlowBatch(np.arange(4), windows, np.ones((4, 5), bool), full, full, np.full(4, 1448.0))
    assert tier.decide(batch, 0).pacing_rate_bps.tolist() == [2e6, 2e6, 1e6, 1e6]
    assert tier.asked.tolist() == [1, 1, 0, 0]
    assert tier.windows.tolist() == [1] * 4


def test_sweep_reports_each_factor_against_never(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"persistence": Constant("persistence", 0.5e6), "llm": Constant("llm", 3e6)}
    monkeypatch.setattr(thresholds, "create", lambda name, context: made[name])
    rows = thresholds.sweep(["constant-12mbit", "steps"], "llm", "cpu", 3, ("always", 1.0, "never"))
    assert [row["factor"] for row in rows] == ["always", 1.0, "never"]
    assert rows[0]["llm_share"] == 1
    assert rows[2]["llm_share"] == 0
    assert rows[0]["bitrate_bps"] > rows[2]["bitrate_bps"]  # 0.5 Mbit/s holds the video down
    assert rows[0]["bitrate_bps_difference"]["median"] > 0
    assert "never the LLM" in thresholds.table(rows)


def test_traces_of_a_dataset_are_those_of_its_validation_split(tmp_path: Path) -> None:
    names = [f"family{k % 3}.{k:02}" for k in range(60)]
    split = ["validation" if k < 48 else "test" for k in range(60)]
    table = pa.table({"source_trace": names * 2, "split": split * 2})
    pq.write_table(table, tmp_path / "part.parquet")
    found = [Path(path).stem for path in thresholds.trace_files(None, tmp_path)]
    assert len(found) == len(set(found)) == thresholds.MOST
    assert {name.partition(".")[0] for name in found} == {"family0", "family1", "family2"}
    assert set(found) <= set(names[:48])
    assert thresholds.trace_files("a,b", tmp_path) == ["a", "b"]
