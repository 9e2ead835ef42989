"""How long a chunk takes to arrive: three network models, compiled.

- `pensieve`, exactly the simulator of Mao et al. (SIGCOMM 2017, `sim/env.py`): 95 % of the rate is
  payload,
  80 ms are added per chunk and do not advance the trace, and a full buffer waits in steps of 500
  ms.
- `session`: the request takes one round trip of the trace's time, then the chunk arrives at the
  trace's
  rate; a full buffer waits until the next chunk fits, as Sabre does (Spiteri et al., MMSys 2018).
- `tcp`: as `session`, with slow start: per round trip at most a congestion window arrives, which
  doubles
  until the rate limits it, and starts again at 10 segments after an idle time above the RTO (RFC
  9293, 5681).

Times in ms unless named otherwise, sizes in bytes. A position in a trace is the index of the
sample that holds and the clock in seconds.
"""

from __future__ import annotations

from enum import IntEnum

from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.jit import jit


class Model(IntEnum):
    """The network model of a session."""

    PENSIEVE = 0
    SESSION = 1
    TCP = 2


PAYLOAD_SHARE = 0.95
PENSIEVE_RTT_MS = 80.0
WAIT_STEP_MS = 500.0
SEGMENT_BYTES = 1448.0
INITIAL_WINDOW_BYTES = 10 * SEGMENT_BYTES
# Linux: the retransmission timeout is the smoothed round trip and at least 200 ms of variation.
RTO_ABOVE_RTT_MS = 200.0

_PENSIEVE, _TCP = int(Model.PENSIEVE), int(Model.TCP)


@jit
def transfer(
    times_s: Floats,
    rates_mbps: Floats,
    first: int,
    end: int,
    at: int,
    clock_s: float,
    size_bytes: float,
    scale: float,
    share: float,
) -> tuple[float, int, float]:
    """Seconds that `size_bytes` take from a position on, and the new position.

    The trace has the samples `first` to `end`; `scale` multiplies its rates, `share` of them is
    payload. The order of operations is that of Pensieve's simulator, so that sums round alike.
    """
    sent = 0.0
    delay_s = 0.0
    while True:
        rate = rates_mbps[at] * scale * 1e6 / 8.0
        duration = times_s[at] - clock_s
        payload = rate * duration * share
        if sent + payload > size_bytes:
            part = (size_bytes - sent) / rate / share
            return delay_s + part, at, clock_s + part
        sent += payload
        delay_s += duration
        clock_s = times_s[at]
        at += 1
        if at >= end:
            at = first + 1
            clock_s = 0.0


@jit
def advance(
    times_s: Floats, first: int, end: int, at: int, clock_s: float, wait_ms: float
) -> tuple[int, float]:
    """The position `wait_ms` later."""
    while True:
        duration = times_s[at] - clock_s
        if duration > wait_ms / 1000.0:
            return at, clock_s + wait_ms / 1000.0
        wait_ms -= duration * 1000.0
        clock_s = times_s[at]
        at += 1
        if at >= end:
            at = first + 1
            clock_s = 0.0


@jit
def carried(
    times_s: Floats,
    rates_mbps: Floats,
    first: int,
    end: int,
    at: int,
    clock_s: float,
    wait_ms: float,
) -> float:
    """Bytes that the trace carries in the next `wait_ms`."""
    left_s = wait_ms / 1000.0
    total = 0.0
    duration = times_s[at] - clock_s
    while duration <= left_s:
        total += rates_mbps[at] * duration
        left_s -= duration
        clock_s = times_s[at]
        at += 1
        if at >= end:
            at = first + 1
            clock_s = 0.0
        duration = times_s[at] - clock_s
    size: float = (total + rates_mbps[at] * left_s) * 1e6 / 8.0
    return size


@jit
def fetch(
    model: int,
    times_s: Floats,
    rates_mbps: Floats,
    first: int,
    end: int,
    at: int,
    clock_s: float,
    size_bytes: float,
    scale: float,
    rtt_ms: float,
    window_bytes: float,
    idle_ms: float,
) -> tuple[float, int, float, float]:
    """Requests a chunk: (download time in ms with the request's round trip, position, congestion
    window).
    """
    if model == _PENSIEVE:
        delay_s, at, clock_s = transfer(
            times_s, rates_mbps, first, end, at, clock_s, size_bytes, scale, PAYLOAD_SHARE
        )
        return delay_s * 1000.0 + rtt_ms, at, clock_s, window_bytes
    at, clock_s = advance(times_s, first, end, at, clock_s, rtt_ms)
    total_ms = rtt_ms
    if model == _TCP and rtt_ms > 0:
        if idle_ms > rtt_ms + RTO_ABOVE_RTT_MS:
            window_bytes = INITIAL_WINDOW_BYTES
        while True:
            room = carried(times_s, rates_mbps, first, end, at, clock_s, rtt_ms) * scale
            if window_bytes >= room or window_bytes >= size_bytes:
                break
            # A round limited by the window: the sender then waits for its acknowledgments.
            size_bytes -= window_bytes
            at, clock_s = advance(times_s, first, end, at, clock_s, rtt_ms)
            total_ms += rtt_ms
            window_bytes *= 2.0
    delay_s, at, clock_s = transfer(
        times_s, rates_mbps, first, end, at, clock_s, size_bytes, scale, 1.0
    )
    return total_ms + delay_s * 1000.0, at, clock_s, window_bytes


@jit
def full_buffer_wait_ms(model: int, buffer_ms: float, chunk_ms: float, cap_ms: float) -> float:
    """How long the player waits before its next request."""
    if model == _PENSIEVE:
        if buffer_ms <= cap_ms:
            return 0.0
        steps = (buffer_ms - cap_ms) / WAIT_STEP_MS
        whole = float(int(steps))
        waited: float = (whole if whole == steps else whole + 1.0) * WAIT_STEP_MS
        return waited
    wait: float = max(buffer_ms + chunk_ms - cap_ms, 0.0)
    return wait
