"""Percentiles in milliseconds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field


class PercentilesMs(BaseModel):
    """p50, p95 and p99 in milliseconds; null where there was nothing to measure."""

    model_config = ConfigDict(frozen=True)

    p50: float | None = Field(description="median, ms")
    p95: float | None = Field(description="95th percentile, ms")
    p99: float | None = Field(description="99th percentile, ms")


def percentiles_ms(values_ns: npt.ArrayLike) -> PercentilesMs:
    """Linear-interpolated percentiles of nanoseconds, in milliseconds."""
    values = np.asarray(values_ns, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return PercentilesMs(p50=None, p95=None, p99=None)
    p50, p95, p99 = (float(value) / 1e6 for value in np.percentile(values, [50, 95, 99]))
    return PercentilesMs(p50=p50, p95=p95, p99=p99)
