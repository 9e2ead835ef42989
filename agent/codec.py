"""Between the agent's arrays and the messages of policy.proto; columns are copied, never looked at
one by one. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.answers import Answers
from agent.batch import WINDOW, Batch, Opened
from agent.config import AgentConfig
from agent.layout import RECORD, Flag, Records
from policy.objective import BALANCED
from policy.protocol import VERSION
from policy.protocol.columns import ACK_RECORDS, OBJECTIVE
from policy.protocol.policy_pb2 import (
    AckRecords,
    AgentMessage,
    Closes,
    DecisionBatch,
    Hello,
    Opens,
    StateBatch,
    Welcome,
    Windows,
)

# Columns of records that are on the wire as they are in memory (whether int64 or uint64 makes no
# difference to bytes).
_AS_THEY_ARE = (
    "generation",
    "at_ns",
    "rtt_us",
    "srtt_us",
    "min_rtt_us",
    "mss_bytes",
    "cwnd_packets",
    "inflight_packets",
    "sample_delivered_packets",
    "sample_interval_us",
    "acked_bytes",
    "delivered_bytes",
    "lost_bytes",
    "sent_bytes",
    "retransmitted_bytes",
    "ca_state",
)
MAX_TIER_NAME = 64
_MAX_CHECKPOINTS = 64
_MAX_NAME = 1000  # of a tier, which may be a path
_APP_LIMITED = np.uint8(Flag.APP_LIMITED)
assert all(RECORD[name].itemsize == ACK_RECORDS[name].itemsize for name in _AS_THEY_ARE)


def _column(values: npt.ArrayLike, dtype: str) -> bytes:
    return np.asarray(values).astype(dtype).tobytes()


def hello(config: AgentConfig) -> AgentMessage:
    """The first message of a stream."""
    return AgentMessage(
        hello=Hello(
            version=VERSION,
            agent_id=config.cc_name,
            policy=config.policy,
            window_ns=config.window_ns,
            deadline_ns=config.deadline_ns,
        )
    )


def opening_batch(flows: Iterable[Opened]) -> Batch:
    """What a new stream begins with: all flows that live."""
    return Batch(list(flows), [], np.empty(0, RECORD), np.empty(0, WINDOW))


def encode(batch: Batch, sequence: int, sent_ns: int, objective: float = BALANCED) -> AgentMessage:
    """One StateBatch. objective: of the flows that it opens."""
    state = StateBatch(sequence=sequence, sent_ns=sent_ns)
    if batch.opens:
        state.opens.CopyFrom(
            Opens(
                flow=_column([opened.slot for opened in batch.opens], "<u4"),
                generation=_column([opened.generation for opened in batch.opens], "<u4"),
                open_ns=_column([opened.open_ns for opened in batch.opens], "<i8"),
                objective=np.full(len(batch.opens), objective, OBJECTIVE).tobytes(),
            )
        )
    if len(batch.records):
        state.records.CopyFrom(_records(batch.records))
    if len(batch.windows):
        state.windows.CopyFrom(
            Windows(
                flow=_column(batch.windows["slot"], "<u4"),
                generation=_column(batch.windows["generation"], "<u4"),
                window=_column(batch.windows["window"], "<i8"),
                end_ns=_column(batch.windows["end_ns"], "<i8"),
            )
        )
    if batch.closes:
        slots, generations = zip(*batch.closes, strict=True)
        state.closes.CopyFrom(
            Closes(flow=_column(slots, "<u4"), generation=_column(generations, "<u4"))
        )
    return AgentMessage(state=state)


def _records(records: Records) -> AckRecords:
    return AckRecords(
        flow=records["slot"].tobytes(),
        pacing_rate_bps=_column(records["pacing_rate_Bps"] * 8.0, "<f8"),
        delivered_packets=_column(records["delivered_packets"], "<i8"),
        delivered_ce_packets=_column(records["delivered_ce_packets"], "<i8"),
        flags=_column(records["flags"] & _APP_LIMITED, "u1"),
        **{name: records[name].tobytes() for name in _AS_THEY_ARE},
    )


def split(batch: Batch, max_records: int) -> Iterator[Batch]:
    """Parts of at most `max_records` records; flows open with the first part, windows and flows
    close with the last.
    """
    records, opens = batch.records, batch.opens
    while len(records) > max_records:
        yield Batch(opens, [], records[:max_records], batch.windows[:0])
        records, opens = records[max_records:], []
    yield Batch(opens, batch.closes, records, batch.windows)


def decode(batch: DecisionBatch, received_ns: int, most: int) -> Answers:
    """The answers in a message.

    Raises ValueError if its columns are not of one length, if it holds more than `most` answers, or
    if its tier's name is longer than MAX_TIER_NAME.
    """
    if len(batch.flow) > 4 * most:
        raise ValueError(f"a decision batch of {len(batch.flow) // 4} answers for {most} flows")
    if len(batch.tier) > MAX_TIER_NAME:
        raise ValueError(f"a decision batch whose tier has a name of {len(batch.tier)} characters")
    columns = {
        "slot": np.frombuffer(batch.flow, "<u4").astype(np.int64),
        "generation": np.frombuffer(batch.generation, "<u4").astype(np.int64),
        "window": np.frombuffer(batch.window, "<i8"),
        "pacing_rate_bps": np.frombuffer(batch.pacing_rate_bps, "<f8"),
        "cwnd_packets": np.frombuffer(batch.cwnd_packets, "<f8"),
        "queue_ns": np.frombuffer(batch.queue_ns, "<i8"),
        "reasons": np.frombuffer(batch.reasons, "u1"),
    }
    count = len(columns["slot"])
    if any(len(column) != count for column in columns.values()):
        raise ValueError(
            f"a decision batch with columns of {sorted({len(c) for c in columns.values()})} "
            "elements"
        )
    return Answers(
        received_ns=received_ns,
        compute_ns=np.full(count, batch.compute_ns),
        tier=np.full(count, batch.tier),
        **columns,
    )


def served(welcome: Welcome, known: Mapping[str, str]) -> dict[str, Any]:
    """Who answers, for agent.json. known: checkpoints of the streams before; a tier that has got
    another one since has both.
    """
    checkpoints = dict(known)
    for tier, sha256 in sorted(welcome.checkpoints.items())[:_MAX_CHECKPOINTS]:
        tier, sha256 = tier[:_MAX_NAME], sha256[:_MAX_NAME]
        before = checkpoints.get(tier, "")
        if sha256 not in before.split():
            checkpoints[tier] = f"{before} {sha256}".strip()
    return {
        "light_tier": welcome.light_tier[:_MAX_NAME],
        "difficult_tier": welcome.difficult_tier[:_MAX_NAME],
        "checkpoints": checkpoints,
    }
