"""Loss at the bottleneck and retransmissions by the sender."""

from __future__ import annotations

import pandas as pd

from analysis.files import LOST, Verdict
from analysis.run import Flow


def loss_rate(packets: pd.DataFrame) -> float | None:
    """Data packets that the bottleneck dropped / data packets that reached it."""
    own = packets[packets["verdict"] != Verdict.DUPLICATE]
    return float(own["verdict"].isin(LOST).mean()) if len(own) else None


def mark_rate(packets: pd.DataFrame, marks: bool) -> float | None:
    """Data packets that the bottleneck marked with CE / data packets that reached it; None where
    its queue does not mark.
    """
    return float(packets["marked"].mean()) if marks and len(packets) else None


def retransmit_rate(tcpinfo: pd.DataFrame, flow: Flow) -> float | None:
    """Payload bytes retransmitted / payload bytes sent, by the sender's last TCP_INFO."""
    rows = tcpinfo[tcpinfo["flow"] == flow.flow] if len(tcpinfo) else tcpinfo
    if not len(rows) or rows["bytes_sent"].iloc[-1] == 0:
        return None
    return float(rows["bytes_retrans"].iloc[-1] / rows["bytes_sent"].iloc[-1])
