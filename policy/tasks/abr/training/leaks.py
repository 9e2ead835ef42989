"""Training sets must hold no recording of a test set: equal samples, or rates that run alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth
from traces.forms import NS_PER_S, Steps
from traces.model import Trace
from traces.overlap import overlap


def shared_recordings(
    training: Sequence[Bandwidth], test: Sequence[Bandwidth]
) -> list[tuple[str, str]]:
    """Pairs (training trace, test trace) of the same recording; see `traces/overlap.py`."""
    ours, theirs = [_trace(one) for one in training], [_trace(one) for one in test]
    return [
        (one.name, other.name)
        for one, mine in zip(training, ours, strict=True)
        for other, held in zip(test, theirs, strict=True)
        if one.recording == other.recording or overlap(mine, held).found
    ]


def refuse_shared(training: Sequence[Bandwidth], test: Sequence[Bandwidth]) -> None:
    """Raises PolicyError if a training trace is of a recording that the test set holds."""
    pairs = shared_recordings(training, test)
    if pairs:
        traces = len({one for one, _ in pairs})
        raise PolicyError(
            f"{traces} training traces are of recordings that the test set holds, as {pairs[0][0]} "
            f"and {pairs[0][1]}; leave them out, or say with --allow-overlap that the result is "
            "only compared with others that were trained so"
        )


def _trace(bandwidth: Bandwidth) -> Trace:
    start_ns = ((bandwidth.times_s[:-1] - bandwidth.times_s[0]) * NS_PER_S).astype(np.int64)
    end_ns = int((bandwidth.times_s[-1] - bandwidth.times_s[0]) * NS_PER_S)
    # Of samples at one moment the last holds.
    lasting = np.diff(np.append(start_ns, end_ns)) > 0
    rates = bandwidth.rates_mbps[1:][lasting] * 1e6
    return Trace("compared", end_ns, steps=Steps(start_ns[lasting], rates))
