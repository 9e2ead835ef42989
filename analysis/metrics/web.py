"""How long web transfers took: flow completion times."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from analysis.metrics.percentiles import PercentilesMs, percentiles_ms
from analysis.run import Flow

SHORT_BYTES = 100_000


class WebMetrics(BaseModel):
    """The transfers of one flow. One that was not complete at the flow's stop counts with the time
    that it had had by then: its true time is longer.
    """

    model_config = ConfigDict(frozen=True)

    transfers: int = Field(description="transfers that arrived")
    completed_share: float | None = Field(description="transfers complete by the stop / transfers")
    fct_ms: PercentilesMs = Field(
        description="flow completion time: from the arrival, connection set-up included"
    )
    short_fct_ms: PercentilesMs = Field(description="the same of transfers up to 100 kB")


def web_metrics(transfers: pd.DataFrame, flow: Flow) -> WebMetrics | None:
    """Metrics of a web flow; None if its client logged nothing."""
    if not len(transfers):
        return None
    own = transfers[transfers["flow"] == flow.flow]
    arrival_ns = own["arrival_ns"].to_numpy(np.float64)
    completed_ns = own["completed_ns"].to_numpy(np.float64)
    complete = completed_ns <= flow.stop_ns  # False for null
    times_ns = np.where(complete, completed_ns, flow.stop_ns) - arrival_ns
    short = own["size_bytes"].to_numpy() <= SHORT_BYTES
    return WebMetrics(
        transfers=len(own),
        completed_share=float(complete.mean()) if len(own) else None,
        fct_ms=percentiles_ms(times_ns),
        short_fct_ms=percentiles_ms(times_ns[short]),
    )
