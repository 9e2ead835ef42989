"""The traces of a scenario's bottleneck, both ways, and where in them it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from testbed.errors import UserError
from testbed.network import ReturnPath
from testbed.parts import steps_trace
from testbed.scenario import Scenario
from testbed.units import NS_PER_S
from traces.library import load, other_direction
from traces.model import Trace, constant

_DRAWS = 100
_START_STEP_NS = 100_000_000


def forward_trace(scenario: Scenario) -> Trace:
    """The capacity in the data direction, from where the scenario begins in it."""
    if scenario.steps:
        trace = steps_trace(scenario.steps, "steps")
    elif scenario.trace is not None:
        trace = load(scenario.trace, scenario.trace_format)
    else:
        trace = constant(scenario.rate_bps or 0.0)
    return trace.starting_at(trace_start_ns(scenario, trace))


def return_path(scenario: Scenario, forward: Trace) -> ReturnPath:
    """The bottleneck against the data direction; its trace begins where the other one does."""
    asked = scenario.reverse
    if asked.trace is None and asked.rate_bps is None and not asked.steps:
        return ReturnPath(loss=asked.loss)
    if asked.steps:
        trace = steps_trace(asked.steps, "steps.reverse")
    elif asked.rate_bps is not None:
        trace = constant(asked.rate_bps)
    else:
        assert asked.trace is not None
        name: str | Path = asked.trace
        if name == "pair":
            if scenario.trace is None:
                raise UserError("reverse: pair is the other direction of a trace; name a trace")
            name = other_direction(scenario.trace)
        trace = load(name, scenario.trace_format).starting_at(trace_start_ns(scenario, forward))
    if trace.name == forward.name:  # each has a file of its own in the run folder
        trace = replace(trace, name=f"{trace.name}.reverse")
    limit_bytes = asked.buffer.limit_bytes(rate_bps=trace.mean_bps(), rtt_ns=scenario.rtt_ns)
    queue = asked.queue_options.queue(asked.queue, limit_bytes, ecn=scenario.ecn)
    return ReturnPath(trace, queue, asked.loss)


def trace_start_ns(scenario: Scenario, trace: Trace) -> int:
    """Where in its trace a scenario begins; at random in whole 100 ms, the same for every
    controller.

    Not in an outage, where no flow could connect: if the first second has less than a tenth of the
    mean rate, another place is drawn, up to 100 times.
    """
    if scenario.trace_start != "random":
        return scenario.trace_start
    places = max(0, trace.duration_ns - scenario.duration_ns) // _START_STEP_NS
    random = np.random.Generator(np.random.PCG64(scenario.seed))
    enough_bytes = 0.1 * trace.mean_bps() / 8
    for _ in range(_DRAWS):
        start_ns = int(random.integers(places + 1)) * _START_STEP_NS
        if trace.capacity_bytes(start_ns, start_ns + NS_PER_S) >= enough_bytes:
            break
    return start_ns
