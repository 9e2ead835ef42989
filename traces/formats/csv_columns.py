"""CSV with named columns, `quantity_unit` each: time or duration, capacity, and optionally delay
(one-way) and loss.

    time_s,capacity_mbps            0,12 / 1,8.5       each row holds until the next
    duration_ms,bandwidth_kbps,rtt_ms,loss             rows follow one another
    at_ns,size_bytes                                   delivery opportunities

Other columns are left alone. A comment line `# period_ns: 60000000000` (or `none`) sets the period
exactly; the writer puts it there, which makes the format lossless.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np

from traces.formats.base import first_line, spans_ns, starts_from_durations
from traces.formats.source import Source
from traces.model import (
    MAX_DELAY_NS,
    MAX_OPPORTUNITY_BYTES,
    MAX_RATE_BPS,
    MAX_TIME_NS,
    Float64s,
    Int64s,
    Opportunities,
    Steps,
    Trace,
)

_TIME = {"s": 1e9, "seconds": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}
_RATE = {"bps": 1.0, "kbps": 1e3, "mbps": 1e6, "gbps": 1e9}
# Quantity -> (words for it, units with their size in ours, largest value in ours).
_QUANTITIES: dict[str, tuple[tuple[str, ...], dict[str, float], float]] = {
    "start_ns": (("start", "time", "timestamp", "t"), _TIME, MAX_TIME_NS),
    "duration_ns": (("duration",), _TIME, MAX_TIME_NS),
    "capacity_bps": (("capacity", "bandwidth", "rate", "throughput"), _RATE, MAX_RATE_BPS),
    "delay_ns": (("delay", "owd"), _TIME, MAX_DELAY_NS),
    "rtt_ns": (("rtt",), _TIME, 2 * MAX_DELAY_NS),
    "loss": (("loss",), {"": 1.0, "fraction": 1.0, "pct": 0.01, "percent": 0.01}, 1.0),
    "at_ns": (("at",), _TIME, MAX_TIME_NS),
    "size_bytes": (("size",), {"bytes": 1.0}, MAX_OPPORTUNITY_BYTES),
}
_PERIOD = re.compile(r"^#\s*period_ns:\s*(\d{1,18}|none)\s*$", re.MULTILINE)


class Csv:
    name = "csv"
    suffix = ".csv"
    description = "CSV with columns like time_s,capacity_mbps,delay_ms,loss or at_ns,size_bytes"

    def matches(self, text: str) -> bool:
        header = first_line(text)
        return "," in header and any(character.isalpha() for character in header)

    def read(self, source: Source, name: str) -> Trace:
        places, columns = _columns(source)
        if "at_ns" in columns:
            at_ns, sizes = _integers(columns["at_ns"]), _integers(columns["size_bytes"])
            _check_sorted(source, places, at_ns)
            return Trace(
                name, _period(source, int(at_ns[-1])), opportunities=Opportunities(at_ns, sizes)
            )
        if "duration_ns" in columns:
            durations_ns = _integers(columns["duration_ns"])
            if (durations_ns == 0).any():
                raise source.error(
                    places[int(np.argmax(durations_ns == 0))], "its duration is 0; remove it"
                )
            start_ns, period_ns = starts_from_durations(durations_ns)
        else:
            start_ns, period_ns = spans_ns(source, places, _integers(columns["start_ns"]).tolist())
        if "rtt_ns" in columns:
            columns.setdefault("delay_ns", columns["rtt_ns"] / 2)
        delay_ns = _integers(columns["delay_ns"]) if "delay_ns" in columns else None
        steps = Steps(start_ns, columns["capacity_bps"], delay_ns, columns.get("loss"))
        return Trace(name, _period(source, period_ns), steps)

    def write(self, trace: Trace, path: Path) -> None:
        """Lossless: integer nanoseconds and the shortest text that reads back as the same float."""
        part = trace.steps or trace.opportunities
        columns = {key: column.tolist() for key, column in vars(part).items() if column is not None}
        period = "none" if trace.period_ns is None else str(trace.period_ns)
        with path.open("w", newline="") as file:
            file.write(f"# period_ns: {period}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


def _columns(source: Source) -> tuple[list[str], dict[str, Float64s]]:
    """Each row's place, and the known columns in the model's units."""
    lines = list(source.lines())
    if not lines:
        raise source.error("", "holds no header")
    header = next(csv.reader([lines[0][1]]))
    known = _header(source, [cell.strip().lower() for cell in header], f"line {lines[0][0]}")
    places: list[str] = []
    values: dict[str, list[float]] = {quantity: [] for quantity, _ in known.values()}
    for number, line in lines[1:]:
        place = f"line {number}"
        row = next(csv.reader(io.StringIO(line)))
        if len(row) != len(header):
            raise source.error(place, f"has {len(row)} fields, the header has {len(header)}")
        places.append(place)
        for index, (quantity, unit) in known.items():
            high = _QUANTITIES[quantity][2] / unit
            values[quantity].append(
                source.number(row[index].strip(), place, header[index], 0, high) * unit
            )
    if not places:
        raise source.error("", "has a header but no row")
    return places, {quantity: np.array(column) for quantity, column in values.items()}


def _header(source: Source, header: list[str], place: str) -> dict[int, tuple[str, float]]:
    """Column index -> (quantity, size of its unit in ours)."""
    known: dict[int, tuple[str, float]] = {}
    for index, cell in enumerate(header):
        word, _, unit = cell.partition("_")
        for quantity, (words, units, _) in _QUANTITIES.items():
            if word in words and unit in units:
                if quantity in {found for found, _ in known.values()}:
                    raise source.error(
                        place, f"{cell} gives {quantity} a second time; keep one column"
                    )
                known[index] = (quantity, units[unit])
    found = {quantity for quantity, _ in known.values()}
    if not (
        {"at_ns", "size_bytes"} <= found
        or ("capacity_bps" in found and found & {"start_ns", "duration_ns"})
    ):
        raise source.error(
            place,
            f"the columns {', '.join(header)[:80]} are no trace; needed: time_s or duration_s, and "
            "capacity_mbps "
            "(units s, ms, us, ns; bps, kbps, mbps, gbps), or at_ns and size_bytes",
        )
    return known


def _period(source: Source, default_ns: int) -> int | None:
    stated = _PERIOD.search(source.text)
    if stated is None:
        return default_ns
    return None if stated[1] == "none" else int(stated[1])


def _check_sorted(source: Source, places: list[str], at_ns: Int64s) -> None:
    backwards = np.diff(at_ns) < 0
    if backwards.any():
        place = places[int(np.argmax(backwards)) + 1]
        raise source.error(
            place, "its time is before that of the line above; sort the file by time"
        )


def _integers(values: Float64s) -> Int64s:
    return np.rint(values).astype(np.int64)
