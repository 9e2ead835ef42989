"""How long web transfers took: flow completion times, and how many were complete."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from analysis.metrics.percentiles import PercentilesMs, percentiles_ms
from analysis.run import Flow
from traces import Trace

SHORT_BYTES = 100_000
FAIR_WAIT_NS = 2_000_000_000
FAIR_SHARE = 0.1


class WebMetrics(BaseModel):
    """The transfers of one flow. One that was not complete at the flow's stop counts with the time
    that it had had by then: its true time is longer.

    A transfer had a fair chance to complete if it could have done so by the stop with a tenth of
    the bottleneck's capacity, after two seconds for its handshake and a lost packet of it:
    FAIR_SHARE x (bytes that the bottleneck offered from FAIR_WAIT_NS after the arrival to the stop)
    >= size. Its arrival and size alone decide, not what became of it, so that the share of the
    complete ones among them does not depend on how long the flow ran. The others are left out of
    it, and `cut_off` counts those of them that were open at the stop.
    """

    model_config = ConfigDict(frozen=True)

    transfers: int = Field(description="transfers that arrived")
    completed_share: float | None = Field(
        description="of the transfers with a fair chance: complete by the stop / all; null if none"
    )
    cut_off: int = Field(description="transfers without a fair chance that were open at the stop")
    fct_ms: PercentilesMs = Field(
        description="flow completion time: from the arrival, connection set-up included"
    )
    short_fct_ms: PercentilesMs = Field(description="the same of transfers up to 100 kB")


def web_metrics(
    transfers: pd.DataFrame, flow: Flow, trace: Trace | None, origin_ns: int
) -> WebMetrics | None:
    """Metrics of a web flow; None if its client logged nothing. ``trace``: capacity of the
    bottleneck, whose time zero is ``origin_ns``; None where it has no rate, and then two seconds
    are a fair chance.
    """
    if not len(transfers):
        return None
    own = transfers[transfers["flow"] == flow.flow]
    size_bytes = own["size_bytes"].to_numpy(np.int64)
    completed_ns = own["completed_ns"].to_numpy(np.float64)
    complete = completed_ns <= flow.stop_ns  # False for null
    arrival_ns = own["arrival_ns"].to_numpy(np.int64)
    times_ns = np.where(complete, completed_ns, flow.stop_ns) - arrival_ns
    fair = _fair(arrival_ns, size_bytes, flow, trace, origin_ns)
    return WebMetrics(
        transfers=len(own),
        completed_share=float(complete[fair].mean()) if fair.any() else None,
        cut_off=int((~fair & ~complete).sum()),
        fct_ms=percentiles_ms(times_ns),
        short_fct_ms=percentiles_ms(times_ns[size_bytes <= SHORT_BYTES]),
    )


def _fair(
    arrival_ns: npt.NDArray[np.int64],
    size_bytes: npt.NDArray[np.int64],
    flow: Flow,
    trace: Trace | None,
    origin_ns: int,
) -> npt.NDArray[np.bool_]:
    """Which transfers had a fair chance to complete by the flow's stop."""
    from_ns = arrival_ns + FAIR_WAIT_NS
    early = from_ns <= flow.stop_ns
    if trace is None:
        return early
    since_ns = np.minimum(from_ns, flow.stop_ns) - origin_ns
    offered_bytes = trace.capacity_bytes(since_ns, flow.stop_ns - origin_ns)
    return early & (FAIR_SHARE * offered_bytes >= size_bytes)
