"""Profiles of tc: lines `rate 1418kbit`, `delay 50ms`, `loss 0.08%`, and `wait 1s`, which holds
what is set.
"""

from __future__ import annotations

import re

import numpy as np

from traces.formats.base import ReadOnly, first_line, none_if_zero, starts_from_durations
from traces.formats.source import Source
from traces.formats.units import parse_rate_bps, parse_share, parse_time_ns
from traces.forms import MAX_DELAY_NS, MAX_RATE_BPS, MAX_TIME_NS, Steps
from traces.model import Trace

_LINE = re.compile(r"(rate|delay|loss|wait)\s+(\S+)", re.IGNORECASE)
_PARSERS = {
    "rate": (parse_rate_bps, MAX_RATE_BPS, "12mbit"),
    "delay": (parse_time_ns, MAX_DELAY_NS, "50ms"),
    "loss": (parse_share, 1.0, "0.1%"),
    "wait": (parse_time_ns, MAX_TIME_NS, "1s"),
}


class TcProfile(ReadOnly):
    name = "tc-profile"
    suffix = ""
    description = "lines of rate, delay, loss and wait"

    def matches(self, text: str) -> bool:
        return _LINE.fullmatch(first_line(text)) is not None

    def read(self, source: Source, name: str) -> Trace:
        now = {"rate": -1.0, "delay": 0.0, "loss": 0.0}
        rows: list[tuple[float, float, float, float]] = []
        for number, line in source.lines():
            place, match = f"line {number}", _LINE.fullmatch(line)
            if match is None:
                raise source.error(
                    place, f"{line[:40]!r} is none of rate, delay, loss, wait with a value"
                )
            key = match[1].lower()
            parse, high, example = _PARSERS[key]
            value = parse(match[2])
            if value is None or value > high:
                raise source.error(place, f"{match[2][:40]!r} is no {key}; write it like {example}")
            if key != "wait":
                now[key] = value
            elif now["rate"] < 0:
                raise source.error(place, "no rate is set before the first wait")
            elif value >= 1:
                rows.append((value, now["rate"], now["delay"], now["loss"]))
        if not rows:
            raise source.error("", "has no wait; a trace needs how long a rate holds")
        durations, rates_bps, delays, losses = (
            np.array(column) for column in zip(*rows, strict=True)
        )
        start_ns, period_ns = starts_from_durations(np.rint(durations).astype(np.int64))
        delay_ns = none_if_zero(delays)
        steps = Steps(
            start_ns,
            rates_bps,
            None if delay_ns is None else np.rint(delay_ns).astype(np.int64),
            none_if_zero(losses),
        )
        return Trace(name, period_ns, steps)
