"""What the server sends: decisions and rejections as messages, one for each session. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions
from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb
from policy.server.flows import Asked, Session
from policy.server.intake import Rejections
from policy.server.streams import Streams

Outgoing = list[tuple[Session, pb.ServerMessage]]


def usable(actions: Actions) -> NDArray[np.bool_]:
    """Which actions are rates and cwnds at all."""
    rate, cwnd = actions.pacing_rate_bps, actions.cwnd_packets
    both: NDArray[np.bool_] = np.isfinite(rate) & np.isfinite(cwnd) & (rate > 0) & (cwnd > 0)
    return both


def decisions(
    streams: Streams,
    tier: str,
    asked: Asked,
    actions: Actions,
    reasons: NDArray[np.uint8],
    started_ns: int,
    compute_ns: int,
) -> Outgoing:
    """DecisionBatch messages for n >= 1 flows, whose actions are all usable.

    reasons: uint8[n]; started_ns: when the tier began, on the server's clock.
    """
    table = streams.table
    order = np.argsort(table.session[asked.slot], kind="stable")
    asked = asked.only(order)
    columns: dict[str, NDArray[Any]] = {
        "flow": table.agent_slot[asked.slot],
        "generation": table.generation[asked.slot],
        "window": asked.window,
        "pacing_rate_bps": actions.pacing_rate_bps[order],
        "cwnd_packets": actions.cwnd_packets[order],
        "queue_ns": started_ns - asked.arrival_ns,
        "reasons": reasons[order],
    }
    owner = table.session[asked.slot]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(owner)) + 1))
    newest = np.maximum.reduceat(asked.sequence, starts).tolist()
    outgoing: Outgoing = []
    messages = col.cut(columns, col.DECISIONS, starts.tolist())
    for index, sequence, packed in zip(owner[starts].tolist(), newest, messages, strict=True):
        batch = pb.DecisionBatch(sequence=sequence, tier=tier, compute_ns=compute_ns, **packed)
        outgoing.append((streams.session(index), pb.ServerMessage(decisions=batch)))
    return outgoing


def rejected(rejections: Rejections) -> Outgoing:
    """What was not used, told to the sessions that sent it."""
    return [
        (
            session,
            pb.ServerMessage(rejected=pb.Rejected(sequence=session.sequence, count=counts)),
        )
        for session, counts in rejections.by_session.items()
    ]
