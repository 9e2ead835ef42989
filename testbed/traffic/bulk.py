"""Bulk traffic: one long TCP flow that always has data to send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from testbed.traffic.base import FlowSpec, Options
from testbed.traffic.process import main
from testbed.traffic.stream import receive, send


class BulkOptions(Options):
    """Bulk traffic has no options."""


_MAX_LIMITED_SHARE = 0.05
_MIN_SAMPLES = 10
_COLUMNS = ["at_ns", "srtt_ns", "cwnd_packets", "bytes_acked", "app_limited"]
# tcp_bbr.c, bbr_cwnd_min_target: the cwnd of PROBE_RTT.
_PROBE_RTT_PACKETS = 4


def limited_share(info: Mapping[str, npt.NDArray[Any]]) -> float:
    """Share of TCP_INFO samples in which the application left TCP without data, 0 to 1.

    Args:
        info: ``at_ns``, ``srtt_ns``, ``cwnd_packets``, ``bytes_acked`` (int64[n]) and
            ``app_limited`` (bool[n]) of one flow, in order of time.

    Two kinds of sample are left out: those before data was acknowledged, and those in which BBR
    called itself application-limited to keep its rate samples out of its model, which is in
    PROBE_RTT and until two round trips later. Fewer than ten samples are 0.
    """
    at_ns, limited = info["at_ns"], info["app_limited"].astype(bool)
    probing = limited & (info["cwnd_packets"] <= _PROBE_RTT_PACKETS)
    last_probe_ns = np.maximum.accumulate(np.where(probing, at_ns, -(2**62)))
    after_probe = at_ns - last_probe_ns <= 2 * info["srtt_ns"]
    counted = limited[(info["bytes_acked"] > 1) & ~after_probe]
    return float(counted.mean()) if len(counted) >= _MIN_SAMPLES else 0.0


class Bulk:
    """See TrafficKind."""

    name = "bulk"
    module = "testbed.traffic.bulk"
    options_model = BulkOptions

    def finish(self, spec: FlowSpec) -> list[str]:
        """The logs are in their final schema already; a greedy flow must never lack data."""
        import pyarrow.parquet as pq

        log = pq.ParquetFile(spec.log_dir / f"tcpinfo-{spec.flow}.parquet").read(columns=_COLUMNS)
        share = limited_share({name: log[name].to_numpy() for name in _COLUMNS})
        if share <= _MAX_LIMITED_SHARE:
            return []
        return [
            f"the bulk flow had no data to send in {share:.0%} of its samples (application-"
            "limited): the machine was too busy, or the path too fast for this sender, and the "
            "controller sent less than it would have"
        ]


KIND = Bulk()

if __name__ == "__main__":
    main(sender=lambda spec: send(spec, lambda elapsed_ns: True), receiver=receive)
