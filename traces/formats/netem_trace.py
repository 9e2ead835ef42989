"""JSON of the netem-trace crate, which Rattan replays: patterns of `StaticBwConfig`, repeated, or
`TraceBwConfig`.

A rate is text (`12Mbps`) or `{"gbps": 0, "bps": 12000000}`; a duration is text (`1s`) or `{"secs":
1, "nanos": 0}`. `count: 0` repeats for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from traces.formats.base import ReadOnly, starts_from_durations
from traces.formats.json_elements import parse_json
from traces.formats.source import Source
from traces.formats.units import parse_rate_bps, parse_time_ns
from traces.forms import MAX_RATE_BPS, MAX_TIME_NS, Steps
from traces.model import Trace

_FIRST_KEY = re.compile(r'\s*\{\s*"\w+Config"\s*:')
MAX_STEPS = 2_000_000
MAX_DEPTH = 16


class NetemTrace(ReadOnly):
    name = "netem-trace"
    suffix = ""
    description = "JSON of netem-trace and Rattan: repeated patterns of rates"

    def matches(self, text: str) -> bool:
        return _FIRST_KEY.match(text) is not None

    def read(self, source: Source, name: str) -> Trace:
        durations: list[int] = []
        rates: list[float] = []
        for duration_ns, rate_bps in _steps(source, parse_json(source), "the file", 0):
            if len(durations) == MAX_STEPS:
                raise source.error(
                    "", f"repeats to more than {MAX_STEPS:,} steps; lower its counts"
                )
            durations.append(duration_ns)
            rates.append(rate_bps)
        if not durations:
            raise source.error("", "its pattern is empty")
        start_ns, period_ns = starts_from_durations(np.array(durations, dtype=np.int64))
        return Trace(name, period_ns, Steps(start_ns, np.array(rates)))


def _steps(source: Source, config: Any, where: str, depth: int) -> Iterator[tuple[int, float]]:
    """(duration in ns, rate in bit/s) of a configuration, in turn. The outermost repetition is the
    trace's period.
    """
    if depth > MAX_DEPTH:
        raise source.error(where, f"patterns are nested more than {MAX_DEPTH} deep")
    if not isinstance(config, Mapping) or len(config) != 1:
        raise source.error(where, 'is not of the form {"StaticBwConfig": {…}}')
    kind, body = next(iter(config.items()))
    if not isinstance(body, Mapping):
        raise source.error(where, f"{kind} is no object")
    if kind == "StaticBwConfig":
        yield (
            _duration_ns(source, body.get("duration"), where),
            _rate_bps(source, body.get("bw"), where),
        )
    elif kind == "RepeatedBwPatternConfig":
        pattern, count = body.get("pattern"), body.get("count", 0)
        if not isinstance(pattern, list) or not isinstance(count, int) or count < 0:
            raise source.error(where, f"{kind} needs a pattern (a list) and a count")
        if count == 0 and depth:
            raise source.error(where, "repeats for ever within another pattern; give a count")
        for _ in range(count if depth else 1):
            for index, each in enumerate(pattern):
                yield from _steps(source, each, f"pattern[{index}]", depth + 1)
            if not pattern:
                return
    elif kind == "TraceBwConfig":
        pattern = body.get("pattern")
        if not isinstance(pattern, list) or not all(_is_entry(each) for each in pattern):
            raise source.error(where, "TraceBwConfig needs a pattern of [duration, [rates]]")
        for duration, bandwidths in pattern:
            for bandwidth in bandwidths:
                yield _duration_ns(source, duration, where), _rate_bps(source, bandwidth, where)
    else:
        raise source.error(
            where,
            f"{str(kind)[:40]} is not read; write what it yields as TraceBwConfig, or as CSV "
            "with time_s,capacity_mbps",
        )


def _is_entry(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], list)


def _duration_ns(source: Source, value: object, where: str) -> int:
    if isinstance(value, Mapping):
        seconds = source.number(value.get("secs", 0), where, "secs", 0, MAX_TIME_NS / 1e9)
        found: float | None = seconds * 1e9 + source.number(
            value.get("nanos", 0), where, "nanos", 0, 1e9
        )
    else:
        found = parse_time_ns(str(value))
    if found is None or not 1 <= found <= MAX_TIME_NS:
        raise source.error(where, f"duration is {str(value)[:40]!r}; give one like 100ms, above 0")
    return round(found)


def _rate_bps(source: Source, value: object, where: str) -> float:
    if isinstance(value, Mapping):
        giga = source.number(value.get("gbps", 0), where, "gbps", 0, MAX_RATE_BPS / 1e9)
        return giga * 1e9 + source.number(value.get("bps", 0), where, "bps", 0, 1e9)
    found = parse_rate_bps(str(value))
    if found is None or found > MAX_RATE_BPS:
        raise source.error(where, f"bw is {str(value)[:40]!r}; give one like 12Mbps")
    return found
