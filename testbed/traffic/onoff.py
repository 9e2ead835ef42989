"""On/off traffic: a TCP flow that is greedy for exponentially distributed times, and silent in between."""

from __future__ import annotations

import bisect
from collections.abc import Callable

import numpy as np
from pydantic import Field

from testbed.traffic.base import FlowSpec, Options
from testbed.traffic.process import main
from testbed.traffic.stream import receive, send
from testbed.units import NS_PER_S

_HORIZON_NS = 86_400 * NS_PER_S


class OnOffOptions(Options):
    """Mean lengths of the two periods."""

    mean_on_s: float = Field(3.0, gt=0, le=3600, description="mean of the sending periods, in seconds")
    mean_off_s: float = Field(3.0, gt=0, le=3600, description="mean of the silent periods, in seconds")


def switching_times_ns(options: OnOffOptions, seed: int, until_ns: int) -> list[int]:
    """Times after the start at which the flow changes between off (as it begins) and on; the last is past the end."""
    random = np.random.Generator(np.random.PCG64(seed))
    times_ns = [0]
    while times_ns[-1] <= until_ns:
        mean_s = options.mean_off_s if len(times_ns) % 2 == 0 else options.mean_on_s
        times_ns.append(times_ns[-1] + 1 + int(random.exponential(mean_s) * NS_PER_S))
    return times_ns


def is_on(switches_ns: list[int]) -> Callable[[int], bool]:
    """Whether the flow sends at a time: between an even-numbered switch (from 0) and the next."""
    return lambda elapsed_ns: bisect.bisect_right(switches_ns, elapsed_ns) % 2 == 1


def _send(spec: FlowSpec) -> None:
    options = OnOffOptions.model_validate(spec.options)
    send(spec, is_on(switching_times_ns(options, spec.seed, _HORIZON_NS)))


class OnOff:
    """See TrafficKind."""

    name = "onoff"
    module = "testbed.traffic.onoff"
    options_model = OnOffOptions

    def finish(self, spec: FlowSpec) -> None:
        """The logs are in their final schema already."""


KIND = OnOff()

if __name__ == "__main__":
    main(sender=_send, receiver=receive)
