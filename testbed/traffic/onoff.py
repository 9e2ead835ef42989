"""On/off traffic: a TCP flow that is greedy for exponentially distributed times, and silent in
between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from pydantic import Field

from testbed.traffic.base import FlowSpec, Options
from testbed.traffic.process import main
from testbed.traffic.stream import receive, send
from testbed.units import NS_PER_S


class OnOffOptions(Options):
    """Mean lengths of the two periods."""

    mean_on_s: float = Field(
        3.0, ge=0.01, le=3600, description="mean of the sending periods, in seconds"
    )
    mean_off_s: float = Field(
        3.0, ge=0.01, le=3600, description="mean of the silent periods, in seconds"
    )


def periods_ns(options: OnOffOptions, seed: int) -> Iterator[int]:
    """Lengths of the periods without end: on, off, on... Drawn as needed, so that short ones cost
    no memory.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    while True:
        for mean_s in (options.mean_on_s, options.mean_off_s):
            yield 1 + int(random.exponential(mean_s) * NS_PER_S)


def is_on(lengths_ns: Iterator[int]) -> Callable[[int], bool]:
    """Whether the flow sends at a time (ns since the start, never decreasing). It begins with an on
    period.
    """
    on = True
    ends_ns = next(lengths_ns)

    def ask(elapsed_ns: int) -> bool:
        nonlocal on, ends_ns
        while elapsed_ns >= ends_ns:
            on = not on
            ends_ns += next(lengths_ns)
        return on

    return ask


def _send(spec: FlowSpec) -> None:
    options = OnOffOptions.model_validate(spec.options)
    send(spec, is_on(periods_ns(options, spec.seed)))


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
