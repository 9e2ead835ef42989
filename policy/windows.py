"""Decision windows: what is known of a flow over 100 ms, one row of physical quantities."""

FIELDS = (
    "duration_ns",  # of the window
    "acks",  # ACK records in it
    "acked_bytes",  # cumulatively acknowledged
    "delivery_rate_bps",  # delivered (SACKed ones too) from the last ACK before to the last ACK in the window, over the time between
    "send_rate_bps",  # sent, retransmissions included, over the same time
    "rtt_mean_ns",  # of the RTT samples
    "rtt_min_ns",
    "rtt_gradient",  # d rtt / d t within the window, least squares; dimensionless
    "srtt_ns",  # at the window's end, as all that follow unless they say otherwise
    "min_rtt_ns",  # the flow's propagation estimate
    "queueing_delay_ns",  # rtt_mean_ns - min_rtt_ns
    "lost_bytes",  # marked lost in the window
    "loss_rate",  # lost / (lost + delivered) bytes of the window
    "inflight_bytes",
    "cwnd_bytes",
    "ack_spacing_ns",  # mean time between ACKs
    "app_limited_share",  # of the ACKs whose rate sample is application-limited
    "ecn_share",  # of the delivered packets that carry a congestion mark
    "asked_rate_bps",  # pacing rate in force
    "action_log2",  # log2(asked_rate_bps / bandwidth_bps of the window before), clipped to [-3, 3]
    "since_loss_ns",  # since the last loss; -1: none yet
    "bandwidth_bps",  # the flow's bandwidth estimate
)
"""Columns of a window."""
HISTORY = 20
"""Windows kept per flow."""
