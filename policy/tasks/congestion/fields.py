"""What is known of a flow: the columns of a window, the numbers of a record that windows are made
of, and what is kept between them.
"""

from __future__ import annotations

import numpy as np

FIELDS = (
    "duration_ns",  # of the window
    "acks",  # ACK records in it
    "acked_bytes",  # cumulatively acknowledged
    # delivered (SACKed included), from the last ACK before to the last ACK in the window; where
    # nothing was in flight then, for 100 ms or more, from when the first packet was sent
    "delivery_rate_bps",
    "send_rate_bps",  # sent, retransmissions included, over the same time
    # of the RTT samples; without ACKs the last value, or the silence if longer and data is in
    # flight
    "rtt_mean_ns",
    "rtt_min_ns",
    "rtt_gradient",  # d rtt / d t within the window, least squares; dimensionless
    "srtt_ns",  # at the window's end, as all that follow unless they say otherwise
    "min_rtt_ns",  # the flow's propagation estimate
    "queueing_delay_ns",  # rtt_mean_ns - min_rtt_ns
    "lost_bytes",  # marked lost in the window
    "loss_rate",  # lost / (lost + delivered) bytes of the window
    "inflight_bytes",
    "cwnd_bytes",
    "ack_spacing_ns",  # mean time between ACKs; without ACKs the silence
    # of the ACKs whose rate sample is application-limited; without ACKs 1 if idle, else 0
    "app_limited_share",
    "ecn_share",  # of the delivered packets that carry a congestion mark
    "asked_rate_bps",  # pacing rate in force
    "action_log2",  # log2(asked_rate_bps / bandwidth_bps of the window before), clipped to [-3, 3]
    "since_loss_ns",  # since the last loss; -1: none yet
    "bandwidth_bps",  # the flow's bandwidth estimate
)
"""Columns of a window."""
F = {name: index for index, name in enumerate(FIELDS)}
"""Index of each column."""
HISTORY = 20
"""Windows kept per flow."""
COUNTERS = (
    "acked_bytes",
    "delivered_bytes",
    "lost_bytes",
    "sent_bytes",
    "delivered_packets",
    "delivered_ce_packets",
)
"""Cumulative, of a record."""
LEVELS = (
    "srtt_ns",
    "min_rtt_ns",
    "mss_bytes",
    "cwnd_packets",
    "inflight_packets",
    "pacing_rate_bps",
)
"""As they were at a record, RTTs in ns."""
MEMORY = 10
"""Windows that the maximum of the bandwidth estimate spans
(`policy.tasks.congestion.estimates.bandwidth`).
"""
NEVER = -1
"""In place of a time."""
NONE, DONE = -1, -2
"""In place of a flow's next closing: there is none in this fold; all have been made."""

ROW = np.dtype([(name, np.float64) for name in FIELDS])
SEEN = np.dtype(
    [
        ("samples", np.float64),  # of the RTT
        ("newest_rtt_ns", np.float64),  # the newest of them, NaN: none
        ("least_rtt_ns", np.float64),  # of the flow's life, as the kernel tells it; 0: unknown
        ("span_ns", np.float64),  # over which the rates were taken
        ("sample_bps", np.float64),  # the kernel's newest that was not app-limited, NaN: none
        ("burst_bps", np.float64),  # delivery rate from the first ACK on, NaN: one ACK at most
        ("run_bps", np.float64),  # largest delivery rate of a run of ACKs, 0: there was none
        ("first_ns", np.float64),  # the first ACK, as the next
        ("last_ns", np.float64),
        ("left", np.float64),  # 1: the flow left a longer route within its RTT
    ]
)
"""What the estimates need of a window beside its row."""
ESTIMATE = np.dtype(
    [
        ("bps", np.float64),  # 0: none yet
        ("samples", np.float64, MEMORY),  # ring, 0: not usable
        ("position", np.int64),  # in the ring
        ("length_ns", np.float64),  # of the shortest window, 0: none yet
        # Of the route (`policy.tasks.congestion.routes.route`):
        ("route_rtt_ns", np.float64),  # its minimum RTT; 0: that of the flow's life
        ("known_rtt_ns", np.float64),  # of the longer route before; 0: there was none
        ("recent_ns", np.float64),  # for how long the longer route is still a recent one
        # While no RTT is near the route's minimum:
        ("windows", np.float64),  # with RTT samples, 0: it is not so
        ("raised_ns", np.float64),  # since the ACK that came then
        ("before_ns", np.float64),  # mean RTT of the window before, or of the step before
        ("early_ns", np.float64),  # largest mean RTT while it settles
        ("top_ns", np.float64),  # and of all windows
        ("low_ns", np.float64),  # least and largest of the windows' minimum RTTs
        ("high_ns", np.float64),
        ("most_bytes", np.float64),  # in flight
        ("least_bytes", np.float64),
        ("peak_bps", np.float64),  # largest delivery rate
        ("run_bps", np.float64),  # and largest one of a run of ACKs
    ]
)
FLOW = np.dtype(
    [
        # What each record changes comes first and together, for the processor's cache.
        ("last_ns", np.int64),  # newest record that was taken
        ("newest_ns", np.int64),  # newest record, those held for the next window included
        ("closing", np.int64),  # index of its next closing in this fold, NONE or DONE
        ("start_ns", np.int64),  # of the open window
        ("counters", np.int64, len(COUNTERS)),  # of the newest record, as the levels
        ("levels", np.float64, len(LEVELS)),
        # Of the open window:
        ("acks", np.float64),
        ("app_limited", np.float64),  # ACKs
        ("rate_bps", np.float64),  # newest sample that was not application-limited, NaN: none
        ("samples", np.float64),  # of the RTT, and sums over them, in seconds:
        ("t", np.float64),
        ("tt", np.float64),
        ("rtt", np.float64),
        ("t_rtt", np.float64),
        ("rtt_min_ns", np.float64),
        ("newest_rtt_ns", np.float64),  # NaN: none
        ("first_ns", np.int64),  # its first record, with the RTT sample or NaN, …
        ("first_rtt_ns", np.float64),
        ("first_delivered", np.int64),  # … and the counter
        ("run_acks", np.float64),  # of the newest run of ACKs, …
        ("run_ns", np.int64),  # … which began with this one, …
        ("run_rtt_ns", np.float64),
        ("run_delivered", np.int64),
        ("run_bps", np.float64),  # … and the largest rate of one
        (
            "base",
            np.float64,
            len(COUNTERS),
        ),  # counters before the first record, less what they fell by
        # Of the windows before:
        ("base_ns", np.int64),  # the last record before the open window, …
        ("paused", np.int64),  # … after which nothing was in flight, if 1
        ("loss_ns", np.int64),
        ("rtt_mean_ns", np.float64),
    ]
)
"""What is kept of a flow between folds."""
