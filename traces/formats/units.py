"""Units of rates and times as trace files write them. The case of b decides: `Mbps` is bits, `MBps`
is bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

TIME_NS = {
    "s": 1e9,
    "sec": 1e9,
    "seconds": 1e9,
    "ms": 1e6,
    "us": 1e3,
    "µs": 1e3,
    "ns": 1.0,
    "m": 60e9,
    "min": 60e9,
    "h": 3600e9,
}
_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_RATE = re.compile(r"([kKmMgG]?)(?:(bits?|b)|(bytes?|Bytes?|B))(ps|/s|)")
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ/%]*)\s*")


def rate_unit_bps(unit: str) -> float | None:
    """`Mbps`, `kbit/s`, `mbit` or `MBps` in bit/s; None if `unit` is no unit of a rate.

    A unit all in capitals (`MBPS`) says nothing by its B: it is read as bits.
    """
    text = unit.lower() if unit.isupper() and len(unit) > 2 else unit
    match = _RATE.fullmatch(text)
    if match is None or (not match[4] and match[2] == "b") or (not match[4] and match[3]):
        return None
    return _PREFIX[match[1].lower()] * (8.0 if match[3] else 1.0)


def is_bytes(unit: str) -> bool:
    """Whether a unit of a rate counts bytes."""
    match = _RATE.fullmatch(unit)
    return (
        match is not None
        and match[3] is not None
        and rate_unit_bps(unit) not in (None, *_PREFIX.values())
    )


def parse_rate_bps(text: str) -> float | None:
    """`12Mbps` or `1418kbit` in bit/s; None if `text` is no rate."""
    match = _QUANTITY.fullmatch(text)
    scale = rate_unit_bps(match[2]) if match else None
    return None if match is None or scale is None else float(match[1]) * scale


def parse_time_ns(text: str) -> float | None:
    """`1s`, `50ms` or `1s 500ms` in nanoseconds; None if `text` is no duration."""
    parts = re.findall(r"[0-9.]+\s*[A-Za-zµ]+", text)
    if not parts or re.sub(r"\s", "", "".join(parts)) != re.sub(r"\s", "", text):
        return None
    total = 0.0
    for part in parts:
        match = _QUANTITY.fullmatch(part)
        if match is None or match[2] not in TIME_NS:
            return None
        total += float(match[1]) * TIME_NS[match[2]]
    return total


def parse_share(text: str) -> float | None:
    """`0.08%` or `0.0008` as a fraction; None if `text` is neither or lies outside 0 to 1."""
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in ("", "%"):
        return None
    share = float(match[1]) / (100 if match[2] else 1)
    return share if share <= 1 else None


def parse_date_s(text: str) -> float | None:
    """`2030-01-01T00:00:00.820`, with or without a zone, or `2019.12.14_11.41.23`, in seconds since
    1970 (UTC).
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.strptime(text, "%Y.%m.%d_%H.%M.%S").replace(tzinfo=UTC)
        except ValueError:
            return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
