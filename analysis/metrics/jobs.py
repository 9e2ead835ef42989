"""What the jobs of a cluster took: completion times, and how much of them went into transfers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from analysis.metrics.percentiles import PercentilesMs, percentiles_ms
from analysis.run import Cell, Flow


class JobsMetrics(BaseModel):
    """The jobs that arrived in a cell. One that was not done counts until the end."""

    model_config = ConfigDict(frozen=True)

    jct_mean_s: float = Field(description="mean job completion time (JCT), from arrival to end")
    jct_p95_s: float = Field(description="95th percentile of JCT")
    transfer_share: float = Field(
        description="mean over jobs: time in which any task of the job fetched its input / JCT"
    )
    jobs: int = Field(description="jobs that arrived")
    done_share: float = Field(description="of these, done before the end")
    makespan_s: float = Field(description="from the first arrival to the last end")
    tasks_lost: int = Field(description="tasks whose worker ended; they were run again")
    remote_mbytes: float = Field(description="input that came over the network, MB")
    fetch_ms: PercentilesMs = Field(description="transfers of tasks with remote input")
    lateness_ms: PercentilesMs = Field(description="how late tasks' timers were")
    policy_share: float = Field(description="placements that the policy server chose in time")
    fallback_share: float = Field(description="placements that the fallback chose in its place")
    decision_ms: PercentilesMs = Field(description="time that a placement took")


def jobs_metrics(cell: Cell, flow: Flow) -> JobsMetrics | None:
    """Metrics of the cluster whose master logged under this flow; None for the others."""
    jobs = cell.log("jobs")
    own = jobs[jobs["flow"] == flow.flow] if len(jobs) else jobs
    if not len(own):
        return None
    tasks, placements = cell.log("tasks"), cell.log("placements")
    end_ns = own["done_ns"].fillna(cell.stop_ns).to_numpy(np.int64)
    arrival_ns = own["arrival_ns"].to_numpy(np.int64)
    jct_s = (end_ns - arrival_ns) / 1e9
    remote = tasks[(tasks["remote_bytes"] > 0) & ~tasks["lost"]]
    fetching = dict(tuple(remote.groupby("job"))) if len(remote) else {}
    transfers_s = [
        covered_ns(fetching[job]) / 1e9 if job in fetching else 0.0 for job in own["job"]
    ]
    sources = placements["source"]
    return JobsMetrics(
        jct_mean_s=float(jct_s.mean()),
        jct_p95_s=float(np.percentile(jct_s, 95)),
        transfer_share=float(np.mean(np.array(transfers_s) / np.maximum(jct_s, 1e-9))),
        jobs=len(own),
        done_share=float(own["done_ns"].notna().mean()),
        makespan_s=float(end_ns.max() - arrival_ns.min()) / 1e9,
        tasks_lost=int(tasks["lost"].sum()) if len(tasks) else 0,
        remote_mbytes=float(remote["remote_bytes"].sum()) / 1e6,
        fetch_ms=percentiles_ms(remote["fetched_ns"] - remote["start_ns"]),
        lateness_ms=percentiles_ms(tasks.loc[~tasks["lost"], "late_ns"]),
        policy_share=float((sources == "policy").mean()) if len(sources) else 0.0,
        fallback_share=float((sources == "fallback").mean()) if len(sources) else 0.0,
        decision_ms=percentiles_ms(placements["decision_ns"]),
    )


def covered_ns(transfers: pd.DataFrame) -> int:
    """Length of the union of the intervals from start_ns to fetched_ns."""
    rows = transfers.sort_values("start_ns")
    total, until = 0, -(2**62)
    for begin, end in zip(rows["start_ns"].tolist(), rows["fetched_ns"].tolist(), strict=True):
        total += max(0, end - max(begin, until))
        until = max(until, end)
    return total
