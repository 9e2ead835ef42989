"""Beside a flow that fills the bottleneck's queue: who is, and what to ask for then. Pure, a
compiled loop over flows.

A controller that keeps the queue short starves beside one that fills it, because every cut makes
room for the other. Copa (Arun, Balakrishnan, NSDI 2018) therefore competes while its queue does not
empty. But where capacity varies, a queue may stand because capacity fell, and a flow that competes
with itself only adds to it. The two are told apart by probing: alone, a flow that sends half of
what is delivered empties the queue, whatever the capacity does meanwhile short of falling by half
within an RTT; beside another flow the queue stays. When alone a probe costs little, since the queue
keeps the link busy.

    calm     the controller decides. If the queue has stood for a while: probe
    probe    half of what is delivered. If the queue empties: calm. If it had the time to and did
             not: compete. CUBIC's clock goes on meanwhile: it would never leave the plateau below
             W_max otherwise
    compete  at least the rate of a CUBIC flow (RFC 9438), which first grows by half per RTT for as
             long as what is delivered follows; alone it would not. Now and then: probe, to see
             whether the other has left. If the queue has been short for a while nobody fills it
             (as in Copa): calm
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch
from policy.compiled import compiled, inner, read_only, settings_record, settings_type
from policy.tasks.congestion.competition_config import CompetitionConfig
from policy.tasks.congestion.cubic import BETA, cubic_window
from policy.tasks.congestion.cwnd import MIN_CWND_PACKETS
from policy.tasks.congestion.fields import ROW

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PACING_GAIN = 1.2  # over cwnd / srtt, as tcp_update_pacing_rate after slow start
RENO_FRIENDLY = 0.53  # packets per RTT (RFC 9438, 4.3)


class Phase(IntEnum):
    """See the module."""

    CALM = 0
    PROBE = 1
    GROW = 2
    COMPETE = 3


_STATE = np.dtype(
    [
        ("phase", np.int64),
        ("age_ns", np.float64),  # of the phase
        ("standing_ns", np.float64),  # for how long the queue has not been short
        ("emptied_ns", np.float64),  # for how long it has been short in every window with ACKs
        ("cwnd", np.float64),  # packets; calm: what was in flight, fading
        ("since_cut_ns", np.float64),
        ("w_max", np.float64),  # packets, CUBIC's
        ("stage_cwnd", np.float64),  # where the last comparison of cwnd …
        ("stage_bps", np.float64),  # … with what is delivered began
        ("cuts", np.int64),  # losses while growing
        ("grown", np.bool_),  # growth has ended: after the next probe compete at once
        ("false_alarms", np.int64),  # probes that found the flow alone
    ]
)
_CALM, _PROBE, _GROW, _COMPETE = map(int, Phase)


class Competition:
    """Phase and CUBIC's variables of every flow."""

    def __init__(self, flows: int, config: CompetitionConfig) -> None:
        self._enabled = config.enabled
        self._limits = settings_record(config)
        self._state = np.zeros(flows, _STATE)

    def forget(self, flows: Sequence[int] | Ints) -> None:
        """These flow numbers have ended."""
        self._state[flows] = np.zeros(1, _STATE)[0]

    def phase(self, flows: Ints) -> Ints:
        """Phase of each flow now; int64[n]."""
        phase: Ints = self._state["phase"][flows]
        return phase

    def competing(self) -> int:
        """How many flows compete now."""
        return int(np.count_nonzero(self._state["phase"] >= Phase.GROW))

    def observe(self, batch: FlowBatch) -> None:
        """One more window of each flow."""
        if self._enabled:
            _observe(self._state, self._limits, *_seen(batch))

    def applied(self, batch: FlowBatch, actions: Actions) -> Actions:
        """The actions, but those of a probe or of a competing flow where it is one."""
        if not self.phase(batch.flow).any():
            return actions
        asked = Actions(
            *(
                np.array(each, np.float64)
                for each in (actions.pacing_rate_bps, actions.cwnd_packets)
            )
        )
        _apply(self._state, self._limits, *_seen(batch), asked.pacing_rate_bps, asked.cwnd_packets)
        return asked


def _seen(batch: FlowBatch) -> tuple[Ints, NDArray[np.void], Floats, Floats]:
    """What the loops take of a batch: flows, their newest windows as records, minimum RTTs, segment
    sizes.
    """
    return batch.flow, batch.windows[:, -1].view(ROW)[:, 0], batch.min_rtt_ns, batch.mss_bytes


_i8, _f8 = types.int64, types.float64
_states, _limits = (
    numba.from_dtype(kind)[::1] for kind in (_STATE, settings_type(CompetitionConfig))
)
_batch = (read_only(_i8), read_only(numba.from_dtype(ROW)), read_only(_f8), read_only(_f8))
# From another file, whose changes `policy.compiled` does not see: RFC 9438 stays as it is.
_cubic_window = inner(cubic_window)


@inner
def _srtt_ns(window: Any, min_rtt_ns: float) -> float:
    """The smoothed RTT, where there is none yet the minimum RTT."""
    return float(max(window.srtt_ns, min_rtt_ns, 1.0))


@inner
def _enter(state: Any, phase: int, window: Any) -> None:
    """Begin a phase."""
    state.phase, state.age_ns, state.cuts = phase, 0.0, 0
    state.stage_cwnd, state.stage_bps = state.cwnd, window.delivery_rate_bps


@inner
def _resize(state: Any, limit: Any, window: Any, srtt_ns: float, used: bool) -> bool:
    """Cwnd of a flow that competes, grown only while it is used (RFC 7661); says whether it was
    cut.
    """
    state.since_cut_ns += window.duration_ns
    if state.phase != _GROW and state.phase != _COMPETE:
        return False
    if window.lost_bytes > 0 and state.since_cut_ns > srtt_ns:
        state.w_max = state.cwnd
        state.cwnd = max(BETA * state.cwnd, MIN_CWND_PACKETS)
        state.since_cut_ns = 0.0
        return True
    if used:
        rounds = window.duration_ns / srtt_ns
        if state.phase == _GROW:
            state.cwnd *= limit.growth**rounds
        else:
            cubic = min(_cubic_window(state.w_max, state.since_cut_ns / 1e9), 1.5 * state.cwnd)
            state.cwnd = max(cubic, state.cwnd + RENO_FRIENDLY * rounds)
    return False


@inner
def _turn(state: Any, limit: Any, window: Any, srtt_ns: float, short_ns: float, cut: bool) -> None:
    """From phase to phase."""
    state.age_ns += window.duration_ns
    queue_ns, phase = window.queueing_delay_ns, state.phase
    probe_ns = srtt_ns + queue_ns / (1 - limit.probe_gain) + window.duration_ns
    if phase == _CALM:
        patience_ns = max(limit.standing_ms * 1e6 * 2.0**state.false_alarms, 2 * srtt_ns)
        if state.standing_ns > patience_ns and queue_ns > limit.long * short_ns:
            _enter(state, _PROBE, window)
    elif phase == _PROBE:
        if state.standing_ns == 0:  # it emptied
            if not state.grown:
                state.false_alarms = min(state.false_alarms + 1, int(limit.patience))
            state.grown = False
            _enter(state, _CALM, window)
        elif state.age_ns > probe_ns:  # it had the time to and did not
            state.false_alarms = 0
            _enter(state, _COMPETE if state.grown else _GROW, window)
    elif state.emptied_ns > max(limit.emptied_ms * 1e6, 3 * srtt_ns):
        state.grown = False
        _enter(state, _CALM, window)
    elif phase == _GROW:
        state.cuts += cut
        asked = np.log(state.cwnd / max(state.stage_cwnd, 1.0))
        gained = np.log(max(window.delivery_rate_bps, 1.0) / max(state.stage_bps, 1.0))
        stage = asked > np.log(limit.stage) and state.age_ns > srtt_ns
        if state.cuts >= limit.cuts:
            state.grown = True
            _enter(state, _COMPETE, window)
        elif stage and gained < limit.follows * asked:  # in vain
            state.grown = True
            state.w_max, state.since_cut_ns = state.cwnd, 0.0
            _enter(state, _PROBE, window)
        elif stage:
            state.stage_cwnd, state.stage_bps = state.cwnd, window.delivery_rate_bps
    elif state.age_ns > max(limit.compete_ms * 1e6, (1 / limit.probe_share - 1) * probe_ns):
        _enter(state, _PROBE, window)


@compiled(types.void, _states, _limits, *_batch)
def _observe(
    states: NDArray[np.void],
    limits: NDArray[np.void],
    flows: Ints,
    windows: NDArray[np.void],
    min_rtt_ns: Floats,
    mss_bytes: Floats,
) -> None:
    """One more window of each flow."""
    limit: Any = limits[0]
    for i in range(len(flows)):
        state: Any = states[flows[i]]
        window: Any = windows[i]
        heard = window.acks > 0
        short_ns = max(limit.short_ms * 1e6, limit.short_rtt * min_rtt_ns[i])
        if heard:
            short = window.rtt_min_ns - min_rtt_ns[i] < short_ns
            state.standing_ns = 0.0 if short else state.standing_ns + window.duration_ns
            state.emptied_ns = state.emptied_ns + window.duration_ns if short else 0.0
        inflight = max(window.inflight_bytes / mss_bytes[i], MIN_CWND_PACKETS)
        if state.phase == _CALM:
            fading = 0.5 ** (window.duration_ns / (limit.memory_ms * 1e6))
            state.cwnd = max(inflight, fading * state.cwnd)
        if state.phase != _CALM or state.standing_ns > 0:
            srtt_ns = _srtt_ns(window, min_rtt_ns[i])
            cut = _resize(state, limit, window, srtt_ns, heard and inflight > state.cwnd / 2)
            _turn(state, limit, window, srtt_ns, short_ns, cut)


@compiled(types.void, _states, _limits, *_batch, _f8[::1], _f8[::1])
def _apply(
    states: NDArray[np.void],
    limits: NDArray[np.void],
    flows: Ints,
    windows: NDArray[np.void],
    min_rtt_ns: Floats,
    mss_bytes: Floats,
    pacing_rate_bps: Floats,
    cwnd_packets: Floats,
) -> None:
    """Replace the rates and windows of flows that probe or compete."""
    gain = limits[0].probe_gain
    for i in range(len(flows)):
        state: Any = states[flows[i]]
        window: Any = windows[i]
        if state.phase == _PROBE:
            # What is delivered falls with the probe where another flow takes its place: to a half
            # at most.
            probe_bps = gain * max(window.delivery_rate_bps, gain * state.stage_bps)
            if probe_bps > 0:
                pacing_rate_bps[i] = probe_bps
        elif state.phase != _CALM:
            own_bps = (
                PACING_GAIN * state.cwnd * mss_bytes[i] * 8e9 / _srtt_ns(window, min_rtt_ns[i])
            )
            if own_bps > pacing_rate_bps[i]:
                pacing_rate_bps[i], cwnd_packets[i] = own_bps, state.cwnd
