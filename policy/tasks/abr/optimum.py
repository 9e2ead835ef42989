"""The greatest QoE that a player could have had who knows the trace: label setting, with a bound.

A label is a way to have played up to some chunk: the level of that chunk, the position in the
trace, the stall and the utility so far. Of two labels with equal chunk and level, the one that
stands earlier in the trace, has stalled no longer and has no less utility is at least as good
whatever follows, as a chunk that is requested earlier arrives no later. A label is also dropped
for one whose utility is less by less than `tolerance`; what that may cost is added to the bound.

The `pensieve` model waits in steps of 500 ms at a full buffer. The search waits no longer than
needed, which can only be better: what it finds is a bound from above. The plan is then played in
the model itself, and gives a bound from below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Floats, Ints
from policy.tasks.abr.jit import jit
from policy.tasks.abr.network import Model, advance, fetch
from policy.tasks.abr.session import Sessions

# Labels of one chunk over all levels; a trace that needs more asks for a greater tolerance.
MAX_LABELS = 4_000_000
_PENSIEVE = int(Model.PENSIEVE)


@dataclass(frozen=True, eq=False)
class Optimum:
    """Mean QoE per decided chunk, each [n]: the optimum lies from `reached` to `bound`.

    `levels` [n, chunks] is the plan that was played.
    """

    reached: Floats
    bound: Floats
    levels: Ints


def optimum(sessions: Sessions, tolerance: float = 0.02) -> Optimum:
    """The optimum of sessions that stand at chunk 1; `sessions` are left as they are.

    `tolerance` is in units of utility (Mbit/s with the linear QoE). Where utilities are multiples
    of something greater, as on ladders in steps of 50 kbit/s, nothing is lost by it. Raises
    PolicyError for the `tcp` model, in which an earlier request may arrive later, and where too
    many labels remain.
    """
    if sessions.model == Model.TCP:
        raise PolicyError("no optimum in the model tcp; use pensieve or session")
    if not tolerance > 0:
        raise PolicyError(f"tolerance {tolerance:g} must lie above 0")
    n, chunks = len(sessions), sessions.chunks_left
    levels = np.zeros((n, chunks), np.int64)
    bound = np.zeros(n)
    for i in range(n):
        value, lost, levels[i] = _search(sessions, i, tolerance)
        bound[i] = (value + lost) / chunks
    reached = np.zeros(n)
    played = sessions.take(np.arange(n))
    for chunk in range(chunks):
        reached += played.step(levels[:, chunk]).reward
    return Optimum(reached / chunks, bound, levels)


def _search(sessions: Sessions, i: int, tolerance: float) -> tuple[float, float, Ints]:
    """Of session `i` the greatest sum of rewards found, what was lost at most, and the levels."""
    video, qoe, state, traces = sessions.video, sessions.qoe, sessions.state, sessions.traces
    first, end = traces.offsets[state.trace[i]], traces.offsets[state.trace[i] + 1]
    labels = Labels(
        level=np.array([state.level[i]]),
        at=np.array([state.at[i]]),
        lap_s=np.zeros(1),
        clock_s=np.array([state.clock_s[i]]),
        buffer_ms=np.array([state.buffer_ms[i]]),
        stall_ms=np.zeros(1),
        utility=np.zeros(1),
    )
    lost = 0.0
    parents: list[Ints] = []
    chosen: list[Ints] = []
    for chunk in range(sessions.chunk, video.chunks):
        n = len(labels.level)
        if n * video.levels > MAX_LABELS:
            raise PolicyError(
                f"trace {traces.names[state.trace[i]]}: more than {MAX_LABELS} labels; "
                f"give a tolerance above {tolerance:g}"
            )
        grown = labels.room(n * video.levels)
        parent = np.empty(n * video.levels, np.int64)
        _grow(
            int(sessions.model),
            traces.times_s,
            traces.rates_mbps,
            first,
            end,
            video.sizes_bytes[chunk],
            qoe.utility[chunk - 1],
            qoe.utility[chunk],
            qoe.switch,
            video.chunk_ms,
            sessions.buffer_cap_ms,
            state.scale[i],
            state.rtt_ms[i],
            *labels.columns(),
            *grown.columns(),
            parent,
        )
        kept, lost_here = _undominated(grown, tolerance)
        lost += lost_here
        labels = grown.take(kept)
        parents.append(parent[kept])
        chosen.append(labels.level)
    value = labels.utility - qoe.stall_per_s * labels.stall_ms / 1000
    at = int(value.argmax())
    best = float(value[at])
    plan = np.empty(len(chosen), np.int64)
    for back in range(len(chosen) - 1, -1, -1):
        plan[back] = chosen[back][at]
        at = int(parents[back][at])
    return best, lost, plan


@dataclass(eq=False)
class Labels:
    """Columns of labels of one chunk; a position is the lap's start, the sample and the clock."""

    level: Ints
    at: Ints
    lap_s: Floats
    clock_s: Floats
    buffer_ms: Floats
    stall_ms: Floats
    utility: Floats

    def columns(self) -> tuple[Ints, Ints, Floats, Floats, Floats, Floats, Floats]:
        """In the order in which compiled code takes them."""
        return (
            self.level,
            self.at,
            self.lap_s,
            self.clock_s,
            self.buffer_ms,
            self.stall_ms,
            self.utility,
        )

    def room(self, n: int) -> Labels:
        """Columns of `n` labels to be filled."""
        numbers = (np.empty(n) for _ in range(5))
        return Labels(np.empty(n, np.int64), np.empty(n, np.int64), *numbers)

    def take(self, rows: NDArray[np.int64]) -> Labels:
        """These rows."""
        numbers = (column[rows] for column in self.columns()[2:])
        return Labels(self.level[rows], self.at[rows], *numbers)


def _undominated(labels: Labels, tolerance: float) -> tuple[Ints, float]:
    """The labels that none of the same level dominates, and the utility lost at most."""
    steps = np.floor(labels.utility / tolerance).astype(np.int64)
    position = labels.lap_s + labels.clock_s
    # By level, then from the greatest utility down, in whole tolerances; then from the earliest.
    order = np.lexsort((labels.stall_ms, position, -steps, labels.level))
    keep = np.zeros(len(order), np.bool_)
    _sweep(labels.level[order], position[order], labels.stall_ms[order], keep)
    # A label gives way to one of equally many tolerances: at most their range is lost.
    level, steps, utility = labels.level[order], steps[order], labels.utility[order]
    begins = np.flatnonzero(np.r_[True, (np.diff(level) != 0) | (np.diff(steps) != 0)])
    ranges = np.maximum.reduceat(utility, begins) - np.minimum.reduceat(utility, begins)
    return order[keep], float(ranges.max())


@jit
def _sweep(level: Ints, position: Floats, stall: Floats, keep: NDArray[np.bool_]) -> None:
    """Marks labels that none before them of the same level equals or beats in both measures."""
    n = len(level)
    # Undominated pairs so far: positions rise and stalls fall.
    front_position, front_stall = np.empty(n), np.empty(n)
    size = 0
    for i in range(n):
        if i == 0 or level[i] != level[i - 1]:
            size = 0
        p, s = position[i], stall[i]
        # The last pair that stands no later.
        where = np.searchsorted(front_position[:size], p, side="right") - 1
        if where >= 0 and front_stall[where] <= s:
            continue
        keep[i] = True
        begin = where + 1
        if where >= 0 and front_position[where] == p:
            begin = where
        after = begin
        while after < size and front_stall[after] >= s:
            after += 1
        gone = after - begin
        if gone == 0:
            for k in range(size, begin, -1):
                front_position[k], front_stall[k] = front_position[k - 1], front_stall[k - 1]
        elif gone > 1:
            for k in range(after, size):
                front_position[k - gone + 1] = front_position[k]
                front_stall[k - gone + 1] = front_stall[k]
        front_position[begin], front_stall[begin] = p, s
        size += 1 - gone


@jit
def _grow(
    model: int,
    times_s: Floats,
    rates_mbps: Floats,
    first: int,
    end: int,
    sizes_bytes: Floats,
    utility_before: Floats,
    utility: Floats,
    switch: float,
    chunk_ms: float,
    cap_ms: float,
    scale: float,
    rtt_ms: float,
    level: Ints,
    at: Ints,
    lap_s: Floats,
    clock_s: Floats,
    buffer_ms: Floats,
    stall_ms: Floats,
    value: Floats,
    new_level: Ints,
    new_at: Ints,
    new_lap_s: Floats,
    new_clock_s: Floats,
    new_buffer_ms: Floats,
    new_stall_ms: Floats,
    new_value: Floats,
    parent: Ints,
) -> None:
    """Every label goes on with every level."""
    levels = len(sizes_bytes)
    length_s = times_s[end - 1]
    row = 0
    for i in range(len(level)):
        for chosen in range(levels):
            delay, to, clock, _ = fetch(
                model,
                times_s,
                rates_mbps,
                first,
                end,
                at[i],
                clock_s[i],
                sizes_bytes[chosen],
                scale,
                rtt_ms,
                0.0,
                0.0,
            )
            stall = max(delay - buffer_ms[i], 0.0)
            buffer = max(buffer_ms[i] - delay, 0.0) + chunk_ms
            over = buffer - cap_ms if model == _PENSIEVE else buffer + chunk_ms - cap_ms
            moved_s = delay / 1000.0
            if model == _PENSIEVE:
                moved_s -= rtt_ms / 1000.0
            if over > 0.0:
                to, clock = advance(times_s, first, end, to, clock, over)
                moved_s += over / 1000.0
                buffer -= over
            laps = np.rint((clock_s[i] + moved_s - clock) / length_s)
            new_level[row], new_at[row], new_clock_s[row] = chosen, to, clock
            new_lap_s[row] = lap_s[i] + laps * length_s
            new_buffer_ms[row] = buffer
            new_stall_ms[row] = stall_ms[i] + stall
            change = abs(utility[chosen] - utility_before[level[i]])
            new_value[row] = value[i] + utility[chosen] - switch * change
            parent[row] = i
            row += 1
