"""Beside a flow that fills the bottleneck's queue: who is, and what to ask for then. Pure, vectorised over flows.

A controller that keeps the queue short starves beside one that fills it, because every cut makes room for the other.
Copa (Arun, Balakrishnan, NSDI 2018) therefore competes while its queue does not empty. But where capacity varies, a
queue may stand because capacity fell, and a flow that competes with itself only adds to it. The two are told apart by
probing: alone, a flow that sends half of what is delivered empties the queue, whatever the capacity does meanwhile
short of falling by half within an RTT; beside another flow the queue stays. When alone a probe costs little, since
the queue keeps the link busy.

    calm     the controller decides. If the queue has stood for a while: probe
    probe    half of what is delivered. If the queue empties: calm. If it had the time to and did not: compete
    compete  at least the rate of a CUBIC flow (RFC 9438), which first grows by half per RTT for as long as what
             is delivered follows; alone it would not. Now and then: probe, to see whether the other has left
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from policy.cubic import BETA, cubic_window
from policy.fields import F
from policy.inflight import MIN_CWND_PACKETS
from policy.tiers import Actions, FlowBatch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PACING_GAIN = 1.2  # over cwnd / srtt, as tcp_update_pacing_rate after slow start
RENO_FRIENDLY = 0.53  # packets per RTT (RFC 9438, 4.3)


class CompetitionConfig(BaseModel):
    """When to compete, and how hard. Chosen in `policy.simulate` (docs/policy-server.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    short_ms: float = Field(default=25.0, gt=0)
    """A queue is short if in some part of the window it was below this or …"""
    short_rtt: float = Field(default=0.3, ge=0)
    """… this share of the minimum RTT, whichever is more."""
    long: float = Field(default=2.2, ge=1)
    """It is probed if it is so many times as long as that, and …"""
    standing_ms: float = Field(default=500.0, gt=0)
    """… was never short for so long."""
    patience: int = Field(default=3, ge=0, le=10)
    """Each probe that finds the flow alone doubles `standing_ms`, so many times at most."""
    probe_gain: float = Field(default=0.5, gt=0, lt=1)
    """Rate of a probe over what is delivered."""
    memory_ms: float = Field(default=5000.0, gt=0)
    """Half-life of what a flow had in flight before it was squeezed, with which it begins to compete."""
    growth: float = Field(default=1.5, gt=1)
    """Of cwnd per RTT at first, until …"""
    cuts: int = Field(default=2, ge=1)
    """… so many losses; or in vain, if while cwnd grows by …"""
    stage: float = Field(default=1.6, gt=1)
    """… this factor, …"""
    follows: float = Field(default=0.3, gt=0, lt=1)
    """… the logarithm of what is delivered grows by less than this share of cwnd's."""
    compete_ms: float = Field(default=6000.0, gt=0)
    """Time between probes while competing."""


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


class Competition:
    """Phase and CUBIC's variables of every flow."""

    def __init__(self, flows: int, config: CompetitionConfig) -> None:
        self._config = config
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
        if not self._config.enabled or not len(batch.flow):
            return
        seen = _Seen.of(batch)
        busy = np.flatnonzero(self._wait(batch.flow, seen))
        if len(busy):
            flows, part = batch.flow[busy], seen.only(busy)
            state = self._state[flows]
            cut = self._resize(state, part)
            self._turn(state, part, cut)
            self._state[flows] = state

    def _wait(self, flows: Ints, seen: _Seen) -> NDArray[np.bool_]:
        """For how long the queue has stood, and what a calm flow had in flight before it was squeezed.

        Says who is not calm or whose queue stands: nothing else happens to the others. Only the columns that this
        takes are read, not the flows' whole states.
        """
        phase, standing_ns, cwnd = (self._state[name][flows] for name in ("phase", "standing_ns", "cwnd"))
        calm, short = phase == Phase.CALM, seen.heard & (seen.least_ns < self._short_ns(seen))
        standing_ns = np.where(short, 0.0, standing_ns + seen.heard * seen.duration_ns)
        fading = 0.5 ** (seen.duration_ns / (self._config.memory_ms * 1e6))
        remembered = np.maximum(seen.inflight_packets, fading * cwnd)
        self._state["standing_ns"][flows] = standing_ns
        self._state["cwnd"][flows] = np.where(calm, remembered, cwnd)
        busy: NDArray[np.bool_] = ~calm | (standing_ns > 0)
        return busy

    def _resize(self, state: NDArray[np.void], seen: _Seen) -> NDArray[np.bool_]:
        """Cwnd of the flows that compete, grown only while it is used (RFC 7661); says whose was cut."""
        cwnd, growing = state["cwnd"], state["phase"] == Phase.GROW
        active = growing | (state["phase"] == Phase.COMPETE)
        since_cut_ns = state["since_cut_ns"] + seen.duration_ns
        cut: NDArray[np.bool_] = active & seen.lost & (since_cut_ns > seen.srtt_ns)
        state["w_max"] = np.where(cut, cwnd, state["w_max"])
        cubic = np.minimum(cubic_window(state["w_max"], since_cut_ns / 1e9), 1.5 * cwnd)
        rounds = seen.duration_ns / seen.srtt_ns
        larger = np.maximum(cubic, cwnd + RENO_FRIENDLY * rounds)
        larger = np.where(growing, cwnd * self._config.growth**rounds, np.maximum(larger, cwnd))
        larger = np.where(active & seen.heard & (seen.inflight_packets > cwnd / 2), larger, cwnd)
        state["cwnd"] = np.where(cut, np.maximum(BETA * cwnd, MIN_CWND_PACKETS), larger)
        state["since_cut_ns"] = np.where(cut, 0.0, since_cut_ns)
        return cut

    def _turn(self, state: NDArray[np.void], seen: _Seen, cut: NDArray[np.bool_]) -> None:
        """From phase to phase."""
        c, phase = self._config, state["phase"].copy()
        short_ns, short = self._short_ns(seen), state["standing_ns"] == 0
        age_ns = state["age_ns"] + seen.duration_ns

        patience_ns = np.maximum(c.standing_ms * 1e6 * 2.0 ** state["false_alarms"], 2 * seen.srtt_ns)
        suspect = (phase == Phase.CALM) & (state["standing_ns"] > patience_ns)
        suspect &= seen.queue_ns > c.long * short_ns
        again = (phase == Phase.COMPETE) & (age_ns > c.compete_ms * 1e6)

        emptied = (phase == Phase.PROBE) & short
        due_ns = seen.srtt_ns + seen.queue_ns / (1 - c.probe_gain) + seen.duration_ns
        stood = (phase == Phase.PROBE) & ~short & (age_ns > due_ns)

        growing = phase == Phase.GROW
        asked = np.log(state["cwnd"] / np.maximum(state["stage_cwnd"], 1.0))
        gained = np.log(np.maximum(seen.delivered_bps, 1.0) / np.maximum(state["stage_bps"], 1.0))
        stage = growing & (asked > np.log(c.stage)) & (age_ns > seen.srtt_ns)
        state["cuts"] = np.where(growing, state["cuts"] + cut, 0)
        full = growing & (state["cuts"] >= c.cuts)
        in_vain = stage & (gained < c.follows * asked) & ~full

        grow, resume = stood & ~state["grown"], stood & state["grown"]
        new = np.select(
            [suspect | again | in_vain, emptied, grow, resume | full],
            [Phase.PROBE, Phase.CALM, Phase.GROW, Phase.COMPETE],
            phase,
        )
        alarms = np.minimum(state["false_alarms"] + (emptied & ~state["grown"]), c.patience)
        state["false_alarms"] = np.where(stood, 0, alarms)
        state["grown"] = (state["grown"] | in_vain | full) & ~emptied
        state["stage_cwnd"] = np.where(stage | grow, state["cwnd"], state["stage_cwnd"])
        probes = suspect | again | in_vain
        state["stage_bps"] = np.where(stage | grow | probes, seen.delivered_bps, state["stage_bps"])
        state["w_max"] = np.where(resume, state["cwnd"], state["w_max"])
        state["since_cut_ns"] = np.where(resume, 0.0, state["since_cut_ns"])
        state["age_ns"] = np.where(new != phase, 0.0, age_ns)
        state["phase"] = new

    def _short_ns(self, seen: _Seen) -> Floats:
        return np.maximum(self._config.short_ms * 1e6, self._config.short_rtt * seen.min_rtt_ns)

    def applied(self, batch: FlowBatch, actions: Actions) -> Actions:
        """The actions, but those of a probe or of a competing flow where it is one."""
        if not self.phase(batch.flow).any():
            return actions
        state = self._state[batch.flow]
        seen, gain = _Seen.of(batch), self._config.probe_gain
        own_bps = PACING_GAIN * state["cwnd"] * batch.mss_bytes * 8e9 / seen.srtt_ns
        competes = (state["phase"] >= Phase.GROW) & (own_bps > actions.pacing_rate_bps)
        # Half of what is delivered, which falls with the probe where another flow takes its place: to a half at most.
        probe_bps = gain * np.maximum(seen.delivered_bps, gain * state["stage_bps"])
        probes = (state["phase"] == Phase.PROBE) & (probe_bps > 0)
        rate_bps = np.where(probes, probe_bps, np.where(competes, own_bps, actions.pacing_rate_bps))
        return Actions(rate_bps, np.where(competes, state["cwnd"], actions.cwnd_packets))


@dataclass(frozen=True)
class _Seen:
    """The newest window of n flows, [n]. least_ns: the least queueing delay in it; queue_ns: the mean."""

    heard: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    duration_ns: Floats
    queue_ns: Floats
    least_ns: Floats
    min_rtt_ns: Floats
    srtt_ns: Floats
    delivered_bps: Floats
    inflight_packets: Floats

    @classmethod
    def of(cls, batch: FlowBatch) -> _Seen:
        w = batch.windows[:, -1].T
        return cls(
            heard=w[F["acks"]] > 0,
            lost=w[F["lost_bytes"]] > 0,
            duration_ns=w[F["duration_ns"]],
            queue_ns=w[F["queueing_delay_ns"]],
            least_ns=w[F["rtt_min_ns"]] - batch.min_rtt_ns,
            min_rtt_ns=batch.min_rtt_ns,
            srtt_ns=np.maximum(w[F["srtt_ns"]], np.maximum(batch.min_rtt_ns, 1.0)),
            delivered_bps=w[F["delivery_rate_bps"]],
            inflight_packets=np.maximum(w[F["inflight_bytes"]] / batch.mss_bytes, MIN_CWND_PACKETS),
        )

    def only(self, chosen: Ints) -> _Seen:
        return _Seen(*(column[chosen] for column in vars(self).values()))
