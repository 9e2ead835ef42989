"""OpenNetLab (AlphaRTC) JSON: `{"type", "uplink": {"trace_pattern": [...]}, "downlink": {...}}`.

An element of `trace_pattern` has `duration` (ms), `capacity` (kbit/s) and may have `loss`, `rtt`
(ms, of which half is read as the one-way delay), `jitter` (ms) and `time`. The uplink is the
emulated direction in the published sets; the downlink is read where the uplink is empty. An element
without `capacity`, `rtt` or `loss` keeps the value of the element before it, as in the original
player. `loss` is a fraction in the traces of AlphaRTC's gym and a percentage in those of onl-emu,
and no field says which:
values above 1 are
percentages,
others are taken for
fractions, with a note.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from traces.formats.base import ReadOnly, none_if_zero, starts_from_durations
from traces.formats.json_elements import elements, field, parse_json
from traces.formats.source import Source
from traces.forms import MAX_DELAY_NS, MAX_RATE_BPS, MAX_TIME_NS, Float64s, Steps
from traces.model import Trace

NS_PER_MS = 1_000_000


class OpenNetLab(ReadOnly):
    name = "opennetlab"
    suffix = ""
    description = "OpenNetLab JSON: uplink/downlink with a trace_pattern"

    def matches(self, text: str) -> bool:
        return text.lstrip().startswith("{")

    def read(self, source: Source, name: str) -> Trace:
        rows = elements(source, _pattern(source, parse_json(source)), "trace_pattern")
        durations_ns = np.empty(len(rows), dtype=np.int64)
        rates_bps, rtts_ms, losses = np.empty(len(rows)), np.empty(len(rows)), np.empty(len(rows))
        columns: tuple[tuple[str, Float64s, float, float, float | None], ...] = (
            ("capacity", rates_bps, 1e3, MAX_RATE_BPS / 1e3, None),
            ("rtt", rtts_ms, 1.0, 2 * MAX_DELAY_NS / NS_PER_MS, 0.0),
            ("loss", losses, 1.0, 100.0, 0.0),
        )
        jitter = False
        for index, row in enumerate(rows):
            durations_ns[index] = round(
                field(source, row, index, "duration", MAX_TIME_NS / NS_PER_MS) * NS_PER_MS
            )
            if durations_ns[index] == 0:
                raise source.error(f"element {index}", "duration is 0; remove the element")
            for key, column, scale, high, at_first in columns:
                default = column[index - 1] / scale if index else at_first
                column[index] = field(source, row, index, key, high, default) * scale
            jitter = (
                jitter or field(source, row, index, "jitter", 2 * MAX_DELAY_NS / NS_PER_MS, 0) > 0
            )
        if jitter:
            source.notes.append("its jitter is left out: give a link jitter instead")
        if losses.max() > 1:
            source.notes.append("its loss was read as a percentage, for it goes beyond 1")
            losses /= 100
        elif losses.any():
            source.notes.append(
                f"its loss, up to {losses.max():g}, was read as a fraction; some sets mean per "
                "cent (--loss-scale 0.01)"
            )
        start_ns, period_ns = starts_from_durations(durations_ns)
        delay_ns = none_if_zero(np.rint(rtts_ms / 2 * NS_PER_MS))
        steps = Steps(
            start_ns,
            rates_bps,
            None if delay_ns is None else delay_ns.astype(np.int64),
            none_if_zero(losses),
        )
        return Trace(name, period_ns, steps)


def _pattern(source: Source, document: object) -> object:
    if isinstance(document, Mapping):
        for direction in ("uplink", "downlink"):
            part = document.get(direction)
            if isinstance(part, Mapping) and part.get("trace_pattern"):
                if direction == "uplink" and (document.get("downlink") or {}):
                    source.notes.append("its uplink was read; the downlink is left out")
                return part["trace_pattern"]
    raise source.error(
        "", "has no uplink.trace_pattern or downlink.trace_pattern; is it OpenNetLab JSON?"
    )
