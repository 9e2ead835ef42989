"""CSV with named columns, `quantity_unit` each: time or duration, capacity, and optionally delay
(one-way) and loss.

    time_s,capacity_mbps            0,12 / 1,8.5       each row holds until the next
    duration_ms,bandwidth_kbps,rtt_ms,loss             rows follow one another
    at_ns,size_bytes                                   delivery opportunities

A column called `time` or `timestamp` without a unit holds dates (ISO 8601). Capacities in `MBps` or
`kBps` are bytes. Semicolons (with decimal commas) and tabs part columns too. Other columns are left
alone.

A comment line `# period_ns: 60000000000` (or `none`) sets the period exactly; the
writer puts it there, which makes the format lossless.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from traces.formats.base import MAX_CLOCK_S, relative_ns, spans_ns, starts_from_durations
from traces.formats.hints import looks_like
from traces.formats.source import Source
from traces.formats.table import Row, header_of, rows_of
from traces.formats.units import is_bytes, parse_date_s, rate_unit_bps
from traces.forms import (
    MAX_DELAY_NS,
    MAX_OPPORTUNITY_BYTES,
    MAX_RATE_BPS,
    MAX_TIME_NS,
    Float64s,
    Int64s,
    Opportunities,
    Steps,
)
from traces.model import Trace

_TIME = {"s": 1e9, "seconds": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}
_DATES = 0.0  # in place of the size of a unit: the column holds dates
# Quantity -> (words for it, units with their size in ours, largest value in ours).
_QUANTITIES: dict[str, tuple[tuple[str, ...], dict[str, float], float]] = {
    "start_ns": (("start", "time", "timestamp", "t"), {**_TIME, "": _DATES}, MAX_TIME_NS),
    "duration_ns": (("duration",), _TIME, MAX_TIME_NS),
    "capacity_bps": (("capacity", "bandwidth", "rate", "throughput"), {}, MAX_RATE_BPS),
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
        header = header_of(text)
        return any(character.isalpha() for cell in header for character in cell)

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
            start_ns, period_ns = spans_ns(
                source, relative_ns(source, places, columns["start_ns"], 1.0)
            )
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
    line = next(iter(source.lines()), None)
    if line is None:
        raise source.error("", "holds no header")
    header = header_of(source.text) or [line[1]]
    known = _header(source, header, f"line {line[0]}")
    places: list[str] = []
    values: dict[str, list[float]] = {quantity: [] for quantity, _ in known.values()}
    for row in rows_of(source):
        places.append(row.place)
        for index, (quantity, unit) in known.items():
            values[quantity].append(_value(source, row, index, header[index], quantity, unit))
    if not places:
        raise source.error("", "has a header but no row")
    return places, {quantity: np.array(column) for quantity, column in values.items()}


def _value(source: Source, row: Row, index: int, column: str, quantity: str, unit: float) -> float:
    """A cell in the model's unit; times of a column without a unit are dates."""
    text = row.cells[index]
    if unit == _DATES:
        seconds = parse_date_s(text)
        if seconds is None:
            raise source.error(
                row.place,
                f"{column} is {text[:40]!r}; give the column a unit ({column}_s, {column}_ms), "
                "or dates like 2030-01-01T00:00:00.820",
            )
        return seconds * 1e9
    high = MAX_CLOCK_S * 1e9 if quantity == "start_ns" else _QUANTITIES[quantity][2]
    return source.number(text, row.place, column, 0, high / unit) * unit


def _header(source: Source, header: list[str], place: str) -> dict[int, tuple[str, float]]:
    """Column index -> (quantity, size of its unit in ours)."""
    known: dict[int, tuple[str, float]] = {}
    for index, cell in enumerate(header):
        word, _, unit = cell.partition("_")
        for quantity, (words, units, _) in _QUANTITIES.items():
            size = rate_unit_bps(unit) if quantity == "capacity_bps" else units.get(unit.lower())
            if word.lower() in words and size is not None:
                if quantity in {found for found, _ in known.values()}:
                    raise source.error(
                        place, f"{cell} gives {quantity} a second time; keep one column"
                    )
                known[index] = (quantity, size)
                if quantity == "capacity_bps" and is_bytes(unit):
                    source.notes.append(f"{cell} was read as bytes per second, eight bits each")
    found = {quantity for quantity, _ in known.values()}
    if not (
        {"at_ns", "size_bytes"} <= found
        or ("capacity_bps" in found and found & {"start_ns", "duration_ns"})
    ):
        hint = looks_like(source.text)
        more = f"; {hint}" if hint else ""
        raise source.error(
            place,
            f"the columns {', '.join(header)[:80]} are no trace; needed: time_s or duration_s, "
            "and capacity_mbps "
            "(units s, ms, us, ns; bps, kbps, mbps, gbps, MBps), or at_ns and size_bytes" + more,
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
