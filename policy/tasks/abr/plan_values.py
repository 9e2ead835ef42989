"""Values of plans for a rate that wanders, by dynamic programming from the last chunk back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.jit import jit


@jit
def fill(
    sizes_chunks: Floats,
    utility: Floats,
    switch: float,
    chunk_s: float,
    discount: float,
    kbps: Floats,
    buffers: Floats,
    shares: Floats,
    band: int,
    values: NDArray[np.float32],
) -> None:
    """Fills `values` [kept, rates, buffers, levels]: what the next chunk at a level and the best
    levels from then on earn, in seconds of stall, without the switch to that level.

    `sizes_chunks` [chunks, levels] are kbit per ms of a chunk's duration, `utility` [chunks,
    levels] in seconds of stall; later chunks than the kept ones are planned with. `buffers` rise
    from 0 to the cap as squares of even steps, in chunks. The rate of the next chunk is that of the
    rates up to `band` away, with the probabilities `shares` [2 band + 1].
    """
    chunks, levels = utility.shape
    rates, count = len(kbps), len(buffers)
    cap = buffers[-1]
    ahead = np.zeros((rates, count, levels))
    known = np.empty((rates, count, levels))
    mean = np.empty((rates, count, levels))
    for chunk in range(chunks - 1, -1, -1):
        before = utility[max(chunk - 1, 0)]
        for rate in range(rates):
            for level in range(levels):
                took = sizes_chunks[chunk, level] / kbps[rate]
                for at in range(count):
                    left = buffers[at] - took
                    buffer = min(max(left, 0.0) + 1.0, cap)
                    low = min(int(np.sqrt(buffer / cap) * (count - 1)), count - 2)
                    part = (buffer - buffers[low]) / (buffers[low + 1] - buffers[low])
                    after = ahead[rate, low, level] * (1 - part)
                    after += ahead[rate, low + 1, level] * part
                    stall = max(-left, 0.0) * chunk_s
                    known[rate, at, level] = utility[chunk, level] - stall + discount * after
        for rate in range(rates):
            mean[rate] = 0.0
            for step in range(-band, band + 1):
                other = min(max(rate + step, 0), rates - 1)
                mean[rate] += shares[step + band] * known[other]
            for at in range(count):
                for last in range(levels):
                    best = -np.inf
                    for level in range(levels):
                        change = abs(utility[chunk, level] - before[last])
                        best = max(best, mean[rate, at, level] - switch * change)
                    ahead[rate, at, last] = best
        if chunk < len(values):
            values[chunk] = mean
