"""The oracle: asks, once per window, for the near-optimal action that the labels name in hindsight,
but beforehand.

It is told what no sender can know (`Foresight`: the trace, its time zero, propagation delays, who
shares the link), so it is no controller but an upper bound for those that learn from its action.
The rate is `policy.tasks.congestion.labels. near_optimal_rate_bps`: it fills the capacity of the
coming windows after draining the queue to a target.

The flow's part of the queue is what it has in flight less what left the bottleneck so recently that
its ACK is still under way: with B the propagation from the bottleneck to the sender's ACK, and C(a,
b) the flow's share of what the trace carries in (a, b),

    queue + committed = max(0, inflight - C(t - B, t)).

Exact while the queue does not empty; with an empty queue no more than C can have left, so that it
is never too large.

It waits for a file, as the trace's time zero is known only after flows exist; until then it holds
each flow's bandwidth estimate. Its clock is CLOCK_MONOTONIC of the host that emulates the link: it
must run there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy.api import Actions, FlowBatch, PolicyContext
from policy.errors import PolicyError
from policy.tasks.congestion.fields import F
from policy.tasks.congestion.labels import CapacityIntegral, Target, near_optimal_rate_bps
from settings import first_mistake

Floats = NDArray[np.float64]
HEADER_BYTES = 52.0  # IPv4, TCP and its timestamps: links count packets, senders payload
MIN_RATE_BPS = 100e3  # in an outage: a packet every 0.1 s, so that its end is noticed
CWND_GAIN = 2.0
SPARE_PACKETS = 10.0


class OracleSettings(BaseModel):
    """How the oracle aims."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target_delay_ms: float = Field(default=Target.target_delay_ns / 1e6, ge=0)
    """Queueing delay that the horizon ends with."""
    horizon_windows: int = Field(default=Target.horizon_windows, ge=1)
    """Windows that the rate is to fill; at least a round trip."""
    app_limited_gain: float = Field(default=1.0, gt=0)
    """Factor on the rate while the application limits the flow."""

    @property
    def target(self) -> Target:
        """As the labels' constants."""
        return Target(
            horizon_windows=self.horizon_windows, target_delay_ns=self.target_delay_ms * 1e6
        )


class Foresight(BaseModel):
    """What the oracle is told, as a JSON file. Absolute times are CLOCK_MONOTONIC of the emulating
    host.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    zero_ns: int
    """The trace's time zero."""
    step_ns: int = Field(gt=0)
    carried_bytes: list[float] = Field(min_length=1)
    """Bytes of IP packets that the trace carries in each step from time zero on; nothing is known
    beyond.
    """
    upstream_delay_ns: int = Field(ge=0)
    """Propagation from the sender to the bottleneck."""
    base_rtt_ns: int = Field(gt=0)
    flows: list[tuple[int, int]] = Field(min_length=1)
    """Start and stop of every flow on the bottleneck."""
    settings: OracleSettings = OracleSettings()

    def capacity(self) -> CapacityIntegral:
        """The trace's integral on the host's clock."""
        at_ns = self.zero_ns + self.step_ns * np.arange(len(self.carried_bytes) + 1)
        return CapacityIntegral(at_ns, np.concatenate(([0.0], np.cumsum(self.carried_bytes))))

    def share(self, at_ns: int) -> float:
        """One over the number of flows on the bottleneck."""
        return 1.0 / max(1, sum(start <= at_ns < stop for start, stop in self.flows))


class Oracle:
    """See the module. State per flow: bytes in flight, carried on through windows without ACKs."""

    name = "oracle"
    history = 1

    def __init__(self, context: PolicyContext) -> None:
        """`context.model`: where the foresight will lie. Raises PolicyError without it."""
        if context.model is None:
            raise PolicyError(
                "the oracle must be told the trace; `tbtest run --cc policy:oracle` runs it in a "
                "server of its own"
            )
        self._path = Path(context.model)
        self._read_ns = 0  # mtime of what was read
        self._foresight: Foresight | None = None
        self._capacity: CapacityIntegral | None = None
        self._inflight: Floats = np.zeros(context.flows)

    def forget(self, flows: Sequence[int]) -> None:
        """See Policy."""
        self._inflight[np.asarray(flows, np.int64)] = 0

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        self._look()
        inflight = self._inflight_bytes(batch)
        if self._foresight is None or self._capacity is None:
            packets = CWND_GAIN * batch.bandwidth_bps * batch.min_rtt_ns / 8e9 / batch.mss_bytes
            return Actions(batch.bandwidth_bps, packets + SPARE_PACKETS)
        told, capacity, share = self._foresight, self._capacity, self._foresight.share(now_ns)
        payload: Floats = batch.mss_bytes / (batch.mss_bytes + HEADER_BYTES)
        echo_ns = told.base_rtt_ns - told.upstream_delay_ns
        left = share * capacity.between(now_ns - echo_ns, now_ns) * payload
        own = np.maximum(inflight - left, 0.0)

        def rate_bps(queue_bytes: Floats | float) -> Floats:
            packets_bps = near_optimal_rate_bps(
                now_ns,
                capacity,
                queue_bytes=queue_bytes,
                committed_bytes=0.0,
                forward_delay_ns=told.upstream_delay_ns,
                rtt_ns=told.base_rtt_ns,
                share=share,
                target=told.settings.target,
            )
            return payload * packets_bps

        limited = batch.windows[:, -1, F["app_limited_share"]] >= 0.5
        rate = rate_bps(own / payload / share) * np.where(
            limited, told.settings.app_limited_gain, 1.0
        )
        rate = np.maximum(rate, MIN_RATE_BPS)
        # The pacing rate is what limits: cwnd has room for all that is queued and for the rate
        # after the drain.
        ample = CWND_GAIN * np.maximum(rate, rate_bps(0.0)) * told.base_rtt_ns / 8e9 + own
        return Actions(rate, ample / batch.mss_bytes + SPARE_PACKETS)

    def _inflight_bytes(self, batch: FlowBatch) -> Floats:
        """In flight at the window's end: as the last ACK said; without ACKs what was sent since on
        top, up to cwnd.
        """
        w = batch.windows[:, -1].T
        sent = w[F["asked_rate_bps"]] * w[F["duration_ns"]] / 8e9
        quiet = (w[F["acks"]] == 0) & (w[F["inflight_bytes"]] > 0)
        longer = np.clip(
            self._inflight[batch.flow] + sent, w[F["inflight_bytes"]], w[F["cwnd_bytes"]]
        )
        inflight: Floats = np.where(quiet, longer, w[F["inflight_bytes"]])
        self._inflight[batch.flow] = inflight
        return inflight

    def _look(self) -> None:
        """Read the file if there is a new one; forget what it said if it is gone."""
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns == self._read_ns:
                return
            self._foresight = Foresight.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            self._read_ns, self._foresight = 0, None
            return
        except ValidationError as error:
            raise PolicyError(f"{self._path}: {first_mistake(error)}") from None
        self._read_ns, self._capacity = changed_ns, self._foresight.capacity()
