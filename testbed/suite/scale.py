"""A scenario in less time, or more. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testbed.parts import CrossTraffic, EachFlow, Failure, Step
from testbed.scenario import Scenario
from testbed.units import NS_PER_MS

# Of traffic kinds: options that are moments or lengths of a scenario, in seconds.
_SECONDS = ("pause_at_s", "pause_s")


def scaled(scenario: Scenario, factor: float) -> Scenario:
    """The scenario with its duration multiplied, and with it every moment in it: steps, starts,
    stops and pauses. Round trips, rates and buffers stay. To whole milliseconds.

    Raises ValueError where the result is no scenario, as one that is too short.
    """
    if factor == 1:
        return scenario

    def time(value_ns: int) -> int:
        return round(value_ns * factor / NS_PER_MS) * NS_PER_MS

    def stop(value_ns: int | None) -> int | None:
        return None if value_ns is None else time(value_ns)

    def options(values: dict[str, Any]) -> dict[str, Any]:
        return {
            key: round(value * factor, 3) if key in _SECONDS else value
            for key, value in values.items()
        }

    def steps(found: Sequence[Step]) -> tuple[Step, ...]:
        return tuple(step.model_copy(update={"at_ns": time(step.at_ns)}) for step in found)

    def flow(found: EachFlow) -> EachFlow:
        changes = {"start_ns": stop(found.start_ns), "stop_ns": stop(found.stop_ns)}
        return found.model_copy(update={**changes, "options": options(found.options)})

    def cross(found: CrossTraffic) -> CrossTraffic:
        changes = {"start_ns": time(found.start_ns), "stop_ns": stop(found.stop_ns)}
        return found.model_copy(update={**changes, "options": options(found.options)})

    def failure(found: Failure) -> Failure:
        times = {"at_ns": time(found.at_ns), "stop_ns": stop(found.stop_ns)}
        return found.model_copy(update={**times, "every_ns": stop(found.every_ns)})

    reverse = scenario.reverse.model_copy(update={"steps": steps(scenario.reverse.steps)})
    changed = scenario.model_copy(
        update={
            "duration_ns": time(scenario.duration_ns),
            "steps": steps(scenario.steps),
            "reverse": reverse,
            "flow_options": options(scenario.flow_options),
            "each_flow": tuple(flow(each) for each in scenario.each_flow),
            "cross_traffic": tuple(cross(each) for each in scenario.cross_traffic),
            "failures": tuple(failure(each) for each in scenario.failures),
        }
    )
    again = Scenario.model_validate(changed.model_dump(by_alias=True))
    if "cc" not in scenario.model_fields_set:  # still the default, for those who ask
        again.model_fields_set.discard("cc")
    return again
