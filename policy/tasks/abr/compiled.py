"""One chunk for every session, compiled."""

from __future__ import annotations

from policy.tasks.abr.bandwidth import Floats, Ints
from policy.tasks.abr.jit import jit
from policy.tasks.abr.network import advance, carried, fetch, full_buffer_wait_ms


@jit
def step_all(
    model: int,
    times_s: Floats,
    rates_mbps: Floats,
    offsets: Ints,
    sizes_bytes: Floats,
    utility_before: Floats,
    utility: Floats,
    stall_per_s: float,
    switch: float,
    chunk_ms: float,
    cap_ms: float,
    levels: Ints,
    trace: Ints,
    at: Ints,
    clock_s: Floats,
    scale: Floats,
    rtt_ms: Floats,
    buffer_ms: Floats,
    level: Ints,
    window_bytes: Floats,
    idle_ms: Floats,
    size_bits: Floats,
    download_ms: Floats,
    latency_ms: Floats,
    reward: Floats,
    delay_ms: Floats,
    stall_ms: Floats,
    waited_ms: Floats,
) -> None:
    """Downloads a chunk at `levels` [n] in every session, whose arrays move on; writes what it
    brought to the last four.
    """
    for i in range(len(levels)):
        first, end = offsets[trace[i]], offsets[trace[i] + 1]
        chosen = levels[i]
        size = sizes_bytes[chosen]
        delay, at[i], clock_s[i], window_bytes[i] = fetch(
            model,
            times_s,
            rates_mbps,
            first,
            end,
            at[i],
            clock_s[i],
            size,
            scale[i],
            rtt_ms[i],
            window_bytes[i],
            idle_ms[i],
        )
        stall = max(delay - buffer_ms[i], 0.0)
        buffer = max(buffer_ms[i] - delay, 0.0) + chunk_ms
        wait = full_buffer_wait_ms(model, buffer, chunk_ms, cap_ms)
        if wait > 0.0:
            buffer -= wait
            at[i], clock_s[i] = advance(times_s, first, end, at[i], clock_s[i], wait)
        idle_ms[i] = wait
        buffer_ms[i] = buffer
        change = 0.0 if level[i] < 0 else abs(utility[chosen] - utility_before[level[i]])
        reward[i] = utility[chosen] - stall_per_s * stall / 1000.0 - switch * change
        level[i] = chosen
        for k in range(size_bits.shape[1] - 1):
            size_bits[i, k] = size_bits[i, k + 1]
            download_ms[i, k] = download_ms[i, k + 1]
            latency_ms[i, k] = latency_ms[i, k + 1]
        size_bits[i, -1] = size * 8.0
        download_ms[i, -1] = delay
        latency_ms[i, -1] = rtt_ms[i]
        delay_ms[i], stall_ms[i], waited_ms[i] = delay, stall, wait


@jit
def mean_ahead(
    times_s: Floats,
    rates_mbps: Floats,
    offsets: Ints,
    trace: Ints,
    at: Ints,
    clock_s: Floats,
    wait_ms: float,
    ahead: Floats,
) -> None:
    """Writes the mean rate in kbit/s of the next `wait_ms` of every trace to `ahead` [n]."""
    for i in range(len(trace)):
        first, end = offsets[trace[i]], offsets[trace[i] + 1]
        total = carried(times_s, rates_mbps, first, end, at[i], clock_s[i], wait_ms)
        ahead[i] = total * 8.0 / wait_ms
