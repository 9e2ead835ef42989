"""JSON list of `{duration_ms, bandwidth_kbps, latency_ms}`, the form of Sabre and of the sets that
come with it.

Sabre adds `latency_ms` once to every request (Spiteri et al., MMSys 2018): it is a round-trip time.
The model's delay is one-way, so half of it is read here and twice the delay written.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from traces.errors import TraceError
from traces.formats.base import none_if_zero, periodic_ns, starts_from_durations
from traces.formats.json_elements import elements, field, parse_json
from traces.formats.source import Source
from traces.forms import MAX_DELAY_NS, MAX_RATE_BPS, MAX_TIME_NS, Steps
from traces.model import Trace

NS_PER_MS = 1_000_000


class JsonList:
    name = "json"
    suffix = ".json"
    description = "JSON list of {duration_ms, bandwidth_kbps, latency_ms}"

    def matches(self, text: str) -> bool:
        return text.lstrip().startswith("[")

    def read(self, source: Source, name: str) -> Trace:
        rows = elements(source, parse_json(source), "the file")
        durations_ns = np.empty(len(rows), dtype=np.int64)
        rates_bps, rtts_ms = np.empty(len(rows)), np.empty(len(rows))
        for index, row in enumerate(rows):
            duration_ms = field(source, row, index, "duration_ms", MAX_TIME_NS / NS_PER_MS)
            durations_ns[index] = round(duration_ms * NS_PER_MS)
            if durations_ns[index] == 0:
                raise source.error(f"element {index}", "duration_ms is 0; remove the element")
            rates_bps[index] = field(source, row, index, "bandwidth_kbps", MAX_RATE_BPS / 1e3) * 1e3
            rtts_ms[index] = field(
                source, row, index, "latency_ms", 2 * MAX_DELAY_NS / NS_PER_MS, 0
            )
        start_ns, period_ns = starts_from_durations(durations_ns)
        delay_ns = none_if_zero(np.rint(rtts_ms / 2 * NS_PER_MS))
        steps = Steps(start_ns, rates_bps, None if delay_ns is None else delay_ns.astype(np.int64))
        return Trace(name, period_ns, steps)

    def write(self, trace: Trace, path: Path) -> None:
        period_ns = periodic_ns(trace, path, self.name)
        if trace.steps is None:
            raise TraceError(
                f"{path}: {self.name} holds rates, not delivery opportunities; bin the trace first "
                "(convert --bin 100ms), or write Mahimahi, CSV or Parquet"
            )
        if trace.steps.loss is not None:
            raise TraceError(f"{path}: {self.name} has no place for loss; write CSV or Parquet")
        delays_ns = trace.steps.delay_ns
        rows = [
            {
                "duration_ms": _plain(duration_ns / NS_PER_MS),
                "bandwidth_kbps": _plain(rate_bps / 1e3),
                "latency_ms": 0
                if delays_ns is None
                else _plain(2 * int(delays_ns[index]) / NS_PER_MS),
            }
            for index, (duration_ns, rate_bps) in enumerate(
                zip(
                    np.diff(trace.steps.start_ns, append=period_ns).tolist(),
                    trace.steps.capacity_bps.tolist(),
                    strict=True,
                )
            )
        ]
        path.write_text("[\n" + ",\n".join(f"    {json.dumps(row)}" for row in rows) + "\n]\n")


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() else value
