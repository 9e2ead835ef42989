"""Scale-free features of a flow's window history.

Every rate is a log ratio to the flow's own bandwidth estimate, every time to its minimum RTT, every
amount in flight to its bandwidth-delay product, so that a flow at 1 Mbit/s and one at 1 Gbit/s in
the same situation look the same. The arithmetic runs in float32 on the device that holds the
windows, vectorised over flows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from policy.tasks.congestion.fields import FIELDS

FIELD_INDEX = {name: index for index, name in enumerate(FIELDS)}

_LOG_RANGE = 6.0  # log2 ratios beyond 64 tell no more
_MIN_BANDWIDTH_BPS = 1e3
_MIN_RTT_NS = 1e5
_LONG_AGO_NS = 1e11  # stands for "never lost"


@dataclass(frozen=True)
class Group:
    """Channels that one CNN reads together."""

    name: str
    channels: tuple[str, ...]


GROUPS: tuple[Group, ...] = (
    Group("rate", ("delivery", "send", "asked", "bandwidth")),
    Group("delay", ("rtt_mean", "rtt_min", "srtt", "queueing", "gradient")),
    Group("loss", ("loss_rate", "lost_packets", "since_loss", "ecn")),
    Group("occupancy", ("inflight", "cwnd", "bdp_packets")),
    Group("acks", ("spacing", "count", "app_limited", "window_rtts")),
    Group("action", ("action",)),
)
CHANNELS: tuple[str, ...] = tuple(channel for group in GROUPS for channel in group.channels)


def normalise(
    windows: Tensor, valid: Tensor, bandwidth_bps: Tensor, min_rtt_ns: Tensor, mss_bytes: Tensor
) -> Tensor:
    """Features of each window, relative to the flow's estimates at the time of the decision.

    Args: windows: [n, w, F], physical units, columns in the order of
        `policy.tasks.congestion.fields.FIELDS`. valid: [n, w], non-zero where the window exists.
        bandwidth_bps, min_rtt_ns, mss_bytes: [n].

    Returns: float32 [n, w, len(CHANNELS)], 0 where the window does not exist; all values are of
        order one.
    """
    rows = torch.nan_to_num(windows.float(), nan=0.0, posinf=_LONG_AGO_NS, neginf=0.0)
    bandwidth = bandwidth_bps.float().clamp(min=_MIN_BANDWIDTH_BPS)[:, None]
    min_rtt = min_rtt_ns.float().clamp(min=_MIN_RTT_NS)[:, None]
    mss = mss_bytes.float().clamp(min=1.0)[:, None]
    bdp = bandwidth * min_rtt / 8e9

    def field(name: str) -> Tensor:
        return rows[..., FIELD_INDEX[name]]

    def log_ratio(name: str, reference: Tensor) -> Tensor:
        ratio = field(name).clamp(min=0.0) / reference
        return torch.log2(ratio.clamp(min=2.0**-_LOG_RANGE, max=2.0**_LOG_RANGE)) / 2

    def log_count(amount: Tensor) -> Tensor:
        return torch.log2(1 + amount.clamp(min=0.0)) / 4

    since_loss = field("since_loss_ns")
    since_loss = torch.where(since_loss < 0, _LONG_AGO_NS, since_loss.clamp(max=_LONG_AGO_NS))
    columns = {
        "delivery": log_ratio("delivery_rate_bps", bandwidth),
        "send": log_ratio("send_rate_bps", bandwidth),
        "asked": log_ratio("asked_rate_bps", bandwidth),
        "bandwidth": log_ratio("bandwidth_bps", bandwidth),
        "rtt_mean": log_ratio("rtt_mean_ns", min_rtt),
        "rtt_min": log_ratio("rtt_min_ns", min_rtt),
        "srtt": log_ratio("srtt_ns", min_rtt),
        "queueing": torch.log2(
            1 + (field("queueing_delay_ns").clamp(min=0.0) / min_rtt).clamp(max=63.0)
        )
        / 2,
        "gradient": torch.asinh(field("rtt_gradient").clamp(-10.0, 10.0)),
        "loss_rate": torch.log2(1 + 63 * field("loss_rate").clamp(0.0, 1.0)) / 2,
        "lost_packets": log_count(field("lost_bytes") / mss),
        "since_loss": log_count(since_loss / min_rtt),
        "ecn": field("ecn_share").clamp(0.0, 1.0),
        "inflight": log_ratio("inflight_bytes", bdp),
        "cwnd": log_ratio("cwnd_bytes", bdp),
        "bdp_packets": (log_count(bdp / mss)).expand_as(valid),
        "spacing": log_ratio("ack_spacing_ns", mss * 8e9 / bandwidth),
        "count": log_count(field("acks")),
        "app_limited": field("app_limited_share").clamp(0.0, 1.0),
        "window_rtts": log_ratio("duration_ns", min_rtt),
        "action": field("action_log2").clamp(-_LOG_RANGE, _LOG_RANGE),
    }
    features = torch.stack([columns[channel] for channel in CHANNELS], dim=-1)
    return features * valid.float()[..., None]
