"""A cell's ACK records folded into windows, as the policy server would have folded them live."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from policy.api import PolicyContext
from policy.tasks.congestion.fields import COUNTERS, FIELDS, LEVELS
from policy.tasks.congestion.history import History
from policy.tasks.congestion.policies.gcc import Gcc
from policy.tasks.congestion.windows import Records, WindowFolder

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_NO_MIN_RTT_NS = (2**32 - 1) * 1000  # the kernel's "none yet"
_MSS = LEVELS.index("mss_bytes")


@dataclass(frozen=True)
class FlowWindows:
    """Windows of one flow. end_ns: int64[n]; rows: float64[n, F]; mss_bytes, gcc_bps: float64[n].

    gcc_bps is what the `gcc` tier, fed the same windows from the first one on, would have asked
    for.
    """

    end_ns: Ints
    rows: Floats
    mss_bytes: Floats
    gcc_bps: Floats


def records_of(acks: pa.Table) -> Records:
    """Rows of `acks.parquet` of one flow, in order of time, as records of slot 0."""

    def column(name: str) -> Floats:
        values: Floats = acks[name].to_numpy().astype(np.float64)
        return values

    min_rtt_ns, mss = column("min_rtt_ns"), column("mss_bytes")
    levels = {
        "srtt_ns": column("srtt_ns"),
        "min_rtt_ns": np.where(min_rtt_ns >= _NO_MIN_RTT_NS, 0.0, min_rtt_ns),
        "mss_bytes": mss,
        "cwnd_packets": column("cwnd_packets"),
        "inflight_packets": column("inflight_bytes") / np.maximum(mss, 1),
        "pacing_rate_bps": column("pacing_rate_bps"),
    }
    return Records(
        np.zeros(len(acks), np.int64),
        acks["at_ns"].to_numpy(),
        np.stack([acks[name].to_numpy().astype(np.int64) for name in COUNTERS], axis=1),
        np.stack([levels[name] for name in LEVELS], axis=1),
        column("rtt_ns"),  # null: NaN, as wanted
        column("delivery_rate_bps"),
        acks["app_limited"].to_numpy(),
    )


def fold_flow(acks: pa.Table, open_ns: int, until_ns: int, window_ns: int) -> FlowWindows:
    """All whole windows of a flow between its opening and `until_ns`. acks: its rows of
    `acks.parquet`.
    """
    records = records_of(acks.sort_by("at_ns"))
    end_ns = np.arange(open_ns + window_ns, until_ns + 1, window_ns, dtype=np.int64)
    bounds = np.concatenate(([0], np.searchsorted(records.at_ns, end_ns, side="left")))
    slot = np.zeros(1, np.int64)
    folder, history, gcc = WindowFolder(1), History(1), Gcc(PolicyContext(1))
    folder.open(slot, np.array([open_ns]))
    rows, mss, asked = [], [], []
    for index, end in enumerate(end_ns):
        inside = records.part(int(bounds[index]), int(bounds[index + 1]))
        row, _, _ = folder.fold(inside, slot, np.array([end]))
        history.append(slot, row)
        batch = history.batch(slot, folder.levels[slot, _MSS], Gcc.history)
        rows.append(row[0])
        mss.append(batch.mss_bytes[0])
        asked.append(gcc.decide(batch, int(end)).pacing_rate_bps[0])
    shape = (len(end_ns), len(FIELDS))
    return FlowWindows(end_ns, np.array(rows).reshape(shape), np.array(mss), np.array(asked))


def opened_ns(events: pa.Table) -> dict[tuple[int, int], int]:
    """When each (flow, generation) of `events.parquet` opened."""
    found = {}
    for event in events.filter(pc.equal(events["event"], "open")).to_pylist():
        generation = int(event["detail"].rpartition(" ")[2])
        found[event["flow"], generation] = event["at_ns"]
    return found
