"""A flow in windows of 100 ms: what the path offered, what the flow did, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from analysis.files import Verdict
from analysis.metrics.decisions import LOCAL_TIER
from analysis.metrics.throughput import WINDOW_NS, capacity_bps, delivered_bps
from analysis.metrics.video import display_gaps_ns
from analysis.run import Cell, Flow

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STALL_NS = 100_000_000  # the shortest gap between displayed frames that counts
STANDING_QUEUE_MS = 100.0
LOST_WINDOWS = 15  # without an answer of the server: it is lost, and not only late
_AT_MOST = 0.95  # of the encoder's largest rate
IDLE_SHARE = 0.7  # of the capacity: a flow below it leaves the link idle
_SENDER = pa.schema(
    [
        pa.field("flow", pa.int16(), nullable=False),
        pa.field("at_ns", pa.int64(), nullable=False),
        pa.field("app_limited", pa.bool_(), nullable=False),
    ]
)
_ENCODER = pa.schema(
    [
        pa.field("flow", pa.int16(), nullable=False),
        pa.field("captured_ns", pa.int64(), nullable=False),
        pa.field("target_bps", pa.float64(), nullable=False),
    ]
)
_ANSWERS = pa.schema(
    [
        pa.field("flow", pa.int16(), nullable=False),
        ("window_end_ns", pa.int64()),
        ("applied_ns", pa.int64()),
        pa.field("pacing_rate_bps", pa.float64(), nullable=False),
        pa.field("tier", pa.string(), nullable=False),
        ("queue_ns", pa.int64()),
        ("compute_ns", pa.int64()),
        pa.field("deadline_missed", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Windows:
    """Columns of equal length, one entry for each window from the cell's start on.

    capacity_bps, own_bps, others_bps: of the flow's bottleneck, what it offered and what left its
    queue; queue_ms: largest queueing delay of the flow's packets, 0 without any; lost: packets of
    the flow lost at random, behind the queue; sent: packets of the flow that reached the queue.
    app_limited: share of the sender's TCP_INFO samples, or of the frames for which the encoder was
    at its largest rate. asked_bps: pacing rate in force, NaN
    without a policy. late: the window had no answer in time; local: the agent's own were the only
    ones for LOST_WINDOWS at least. llm:
    the LLM answered within the last second. service_ms: longest time an answer took at the server.
    active: the flow lasted; stalled: within a gap longer than STALL_NS between displayed frames.
    busy: share of the machine's processors in use, 0 where it was not sampled.
    """

    start_s: Floats
    capacity_bps: Floats
    own_bps: Floats
    others_bps: Floats
    queue_ms: Floats
    lost: Floats
    sent: Floats
    app_limited: Floats
    asked_bps: Floats
    late: Mask
    local: Mask
    llm: Mask
    service_ms: Floats
    active: Mask
    stalled: Mask
    busy: Floats

    @property
    def idle(self) -> Mask:
        """The flow left over a third of the link idle while its queue was all but empty."""
        total = self.own_bps + self.others_bps
        idle: Mask = (total < IDLE_SHARE * self.capacity_bps) & (self.queue_ms < 20)
        return idle

    @property
    def bad(self) -> Mask:
        """Something went wrong: a stall, a standing queue, or an idle link."""
        bad: Mask = self.active & (
            self.stalled | (self.queue_ms > STANDING_QUEUE_MS) | self.idle | self.outage
        )
        return bad

    @property
    def outage(self) -> Mask:
        """The link carried less than a fiftieth of its mean for at least half a second."""
        known = np.nan_to_num(self.capacity_bps, nan=np.inf)
        low = known < 0.02 * np.nanmean(np.where(np.isfinite(known), known, np.nan))
        return _long(low, 5)


def runs_of(mask: Mask) -> list[tuple[int, int]]:
    """First and last + 1 of every run of true, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _long(mask: Mask, at_least: int) -> Mask:
    """The mask, without runs of true shorter than this."""
    kept = np.zeros(len(mask), bool)
    for first, last in runs_of(mask):
        kept[first:last] = last - first >= at_least
    return kept


def windows_of(cell: Cell, flow: Flow) -> Windows:
    """The flow's windows. Raises AnalysisError for logs that cannot be read."""
    start_s = np.arange(max(1, (cell.stop_ns - cell.start_ns) // WINDOW_NS)) / 10
    count = len(start_s)
    packets = cell.data_packets(flow)
    at_bottleneck = cell.packets[
        (cell.packets["link"] == flow.bottleneck) & ~cell.packets["ack"].astype(bool)
    ]
    own = delivered_bps(packets, cell.start_ns, cell.stop_ns)[1]
    every = delivered_bps(at_bottleneck, cell.start_ns, cell.stop_ns)[1]
    answers = _of(cell.log("decisions", _ANSWERS), flow)
    arrival = _place(cell, packets["enqueue_ns"], count)
    random_loss = (packets["verdict"] == Verdict.RANDOM_LOSS).to_numpy(bool)
    queued = packets["dequeue_ns"].notna().to_numpy(bool)
    delay_ms = (packets["dequeue_ns"] - packets["enqueue_ns"]).to_numpy(np.float64) / 1e6
    sender = _of(cell.log("tcpinfo", _SENDER), flow)
    late, local, llm, service_ms = _answered(cell, flow, answers, count)
    return Windows(
        start_s=start_s,
        capacity_bps=capacity_bps(cell, flow)[:count],
        own_bps=own,
        others_bps=np.maximum(every - own, 0),
        queue_ms=_largest(arrival[queued], delay_ms[queued], count),
        lost=np.bincount(arrival[random_loss], minlength=count).astype(np.float64),
        sent=np.bincount(arrival, minlength=count).astype(np.float64),
        app_limited=np.maximum(
            _mean(cell, sender, "app_limited", count), _encoder_limited(cell, flow, count)
        ),
        asked_bps=_in_force(cell, answers, count),
        late=late,
        local=local,
        llm=llm,
        service_ms=service_ms,
        active=_between(cell, flow.start_ns + flow.base_rtt_ns, flow.stop_ns, count),
        stalled=_stalled(cell, flow, count),
        busy=_busy(cell, count),
    )


def _of(frame: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    return frame[frame["flow"] == flow.flow] if len(frame) else frame


def _place(cell: Cell, at_ns: pd.Series, count: int) -> npt.NDArray[np.int64]:
    """The window that each time falls into; the first or last for times outside the cell."""
    place = (at_ns.to_numpy(np.float64) - cell.start_ns) // WINDOW_NS
    return np.asarray(np.clip(place, 0, count - 1), np.int64)


def _between(cell: Cell, first_ns: int, last_ns: int, count: int) -> Mask:
    starts = cell.start_ns + np.arange(count) * WINDOW_NS
    return np.asarray((starts >= first_ns) & (starts + WINDOW_NS <= last_ns))


def _largest(place: npt.NDArray[np.int64], values: Floats, count: int) -> Floats:
    largest = np.zeros(count)
    np.maximum.at(largest, place, values)
    return largest


def _mean(cell: Cell, frame: pd.DataFrame, column: str, count: int) -> Floats:
    if not len(frame):
        return np.zeros(count)
    place = _place(cell, frame["at_ns"], count)
    sums = np.bincount(place, weights=frame[column].to_numpy(np.float64), minlength=count)
    return np.asarray(sums / np.maximum(np.bincount(place, minlength=count), 1))


def _in_force(cell: Cell, answers: pd.DataFrame, count: int) -> Floats:
    """The last pacing rate that was applied before the end of each window."""
    rows = answers[answers["applied_ns"].notna()] if len(answers) else answers
    if not len(rows):
        return np.full(count, np.nan)
    rows = rows.sort_values("applied_ns")
    ends = cell.start_ns + (np.arange(count) + 1) * WINDOW_NS
    last = np.searchsorted(rows["applied_ns"].to_numpy(np.float64), ends) - 1
    rates = rows["pacing_rate_bps"].to_numpy(np.float64)
    return np.where(last >= 0, rates[np.maximum(last, 0)], np.nan)


def _answered(
    cell: Cell, flow: Flow, answers: pd.DataFrame, count: int
) -> tuple[Mask, Mask, Mask, Floats]:
    """Windows without an answer in time, with the agent's own alone, shortly after the LLM's, and
    the longest time at the server.
    """
    nothing = np.zeros(count, bool)
    rows = answers[answers["applied_ns"].notna()] if len(answers) else answers
    if not cell.is_policy:
        return nothing, nothing, nothing, np.zeros(count)
    if not len(rows):
        return ~nothing, nothing, nothing, np.zeros(count)
    place = _place(cell, rows["applied_ns"], count)
    first_ns = int(rows["applied_ns"].min())
    in_time = ~rows["deadline_missed"].to_numpy(bool)
    from_agent = (rows["tier"] == LOCAL_TIER).to_numpy(bool)
    from_llm = (rows["tier"] == "llm").to_numpy(bool)

    def within(chosen: Mask, windows: int) -> Mask:
        hits = np.bincount(place[chosen], minlength=count) > 0
        spread = np.convolve(hits, np.ones(windows), "full")[:count] > 0
        return np.asarray(spread)

    # An answer may fall just behind the edge of a window: two in a row must lack one.
    since_first = _between(cell, first_ns, flow.stop_ns, count)
    late = since_first & ~within(in_time, 2)
    local = _long(within(from_agent, 1) & ~within(~from_agent, 1), LOST_WINDOWS)
    service_ms = (rows["queue_ns"].fillna(0) + rows["compute_ns"].fillna(0)).to_numpy() / 1e6
    return late, local, within(from_llm, 10), _largest(place, service_ms, count)


def _encoder_limited(cell: Cell, flow: Flow, count: int) -> Floats:
    """Share of each window's frames for which the encoder was all but at its largest rate: the
    network is not what limits such a flow.
    """
    most_bps = flow.options.get("max_bps")
    log = cell.log("frames", _ENCODER) if flow.kind == "video" else pd.DataFrame()
    frames = _of(log, flow)
    if not len(frames) or not isinstance(most_bps, int | float):
        return np.zeros(count)
    place = _place(cell, frames["captured_ns"], count)
    limited = (frames["target_bps"] >= _AT_MOST * most_bps).to_numpy(np.float64)
    sums = np.bincount(place, weights=limited, minlength=count)
    return np.asarray(sums / np.maximum(np.bincount(place, minlength=count), 1))


def _stalled(cell: Cell, flow: Flow, count: int) -> Mask:
    stalled = np.zeros(count, bool)
    frames = _of(cell.log("frames"), flow) if flow.kind == "video" else pd.DataFrame()
    if not len(frames):
        return stalled
    gaps_ns = display_gaps_ns(frames, flow.stop_ns)
    ends_ns = flow.stop_ns - np.cumsum(gaps_ns[::-1])[::-1] + gaps_ns
    for end_ns, gap_ns in zip(
        ends_ns[gaps_ns > STALL_NS], gaps_ns[gaps_ns > STALL_NS], strict=True
    ):
        first = (end_ns - gap_ns - cell.start_ns) // WINDOW_NS
        last = (end_ns - 1 - cell.start_ns) // WINDOW_NS
        stalled[max(0, int(first)) : max(0, int(last)) + 1] = True
    return stalled


def _busy(cell: Cell, count: int) -> Floats:
    busy = np.zeros(count)
    previous = 0
    for sample in cell.record.cpu.samples:
        at_ns = getattr(sample, "at_ns", None)
        if not isinstance(at_ns, int):
            continue
        last = int(np.clip((at_ns - cell.start_ns) // WINDOW_NS, 0, count))
        busy[previous:last] = min(1.0, sample.busy + sample.steal)
        previous = max(previous, last)
    return busy
