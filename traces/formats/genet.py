"""Genet's congestion-control JSON: `timestamps` (s), `bandwidths` (Mbit/s), `delays` (one-way, ms),
`loss`, `queue`.

A sample holds from its time until the next (Xia et al., SIGCOMM 2022). `delays`
is a list or one number, `loss` one fraction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from traces.formats.base import (
    MAX_CLOCK_S,
    MAX_RATE_MBPS,
    ReadOnly,
    none_if_zero,
    relative_ns,
    spans_ns,
)
from traces.formats.json_elements import parse_json
from traces.formats.source import Source
from traces.forms import MAX_DELAY_NS, NS_PER_S, Float64s, Steps
from traces.model import Trace

_FIRST_KEY = re.compile(r'\s*\{\s*"(timestamps|bandwidths|delays|loss|queue)"\s*:')
NS_PER_MS = 1_000_000


class Genet(ReadOnly):
    name = "genet"
    suffix = ""
    description = "Genet JSON: timestamps, bandwidths, delays, loss"

    def matches(self, text: str) -> bool:
        return _FIRST_KEY.match(text) is not None

    def read(self, source: Source, name: str) -> Trace:
        document = parse_json(source)
        if not isinstance(document, Mapping):
            raise source.error("", "is no JSON object with timestamps and bandwidths")
        times_s = _numbers(source, document, "timestamps", MAX_CLOCK_S)
        rates_mbps = _numbers(source, document, "bandwidths", MAX_RATE_MBPS, len(times_s))
        places = [f"element {index}" for index in range(len(times_s))]
        start_ns, period_ns = spans_ns(source, relative_ns(source, places, times_s, NS_PER_S))
        delay_ns = loss = None
        if document.get("delays"):
            delays_ms = _numbers(source, document, "delays", MAX_DELAY_NS / NS_PER_MS, len(times_s))
            zeros_left_out = none_if_zero(np.rint(delays_ms * NS_PER_MS))
            delay_ns = None if zeros_left_out is None else zeros_left_out.astype(np.int64)
        if document.get("loss"):
            loss = none_if_zero(_numbers(source, document, "loss", 1, len(times_s)))
        if document.get("queue"):
            source.notes.append(
                f"its queue of {str(document['queue'])[:20]} packets is left out: give --buffer"
            )
        return Trace(name, period_ns, Steps(start_ns, rates_mbps * 1e6, delay_ns, loss))


def _numbers(
    source: Source, document: Mapping[str, object], key: str, high: float, length: int | None = None
) -> Float64s:
    """`document[key]`, a list or, with `length`, one number for all. Raises TraceError."""
    value = document.get(key)
    if length is not None and not isinstance(value, list):
        value = [value] * length
    if not isinstance(value, list) or not value:
        raise source.error("", f"{key} is no list of numbers")
    if length is not None and len(value) != length:
        raise source.error("", f"{key} has {len(value)} values, timestamps has {length}")
    return np.array(
        [source.number(each, f"{key}[{i}]", key, 0, high) for i, each in enumerate(value)]
    )
