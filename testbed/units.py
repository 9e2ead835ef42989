"""Quantities as people write them ("12mbit", "40ms", "0.5%") to the one internal unit of each and
back.

Internal units: nanoseconds (int), bits per second (float), bytes (int), plain fractions (float).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from testbed.errors import UserError

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

_DURATION_NS: Mapping[str, float] = {
    "ns": 1,
    "us": 1e3,
    "µs": 1e3,
    "ms": 1e6,
    "s": 1e9,
    "min": 60e9,
    "h": 3600e9,
}
_RATE_BPS: Mapping[str, float] = {
    "bit": 1.0,
    "kbit": 1e3,
    "mbit": 1e6,
    "gbit": 1e9,
    "kbps": 1e3,
    "mbps": 1e6,
    "gbps": 1e9,
}
_SIZE_BYTES: Mapping[str, float] = {"b": 1, "kb": 1e3, "mb": 1e6, "kib": 1024, "mib": 1024**2}

_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-zµ%/]*)\s*", re.IGNORECASE)


# All in capitals, MBPS, says nothing by its B.
_BYTES_PER_S = re.compile(
    r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([kKmMgG]?)(?:B(?:ps|/s)|[bB]ytes?(?:ps|/s))\s*"
)


def _parse(text: object, units: Mapping[str, float], what: str, example: str) -> float:
    """The value of ``text`` in the base unit of ``units``; a bare number has no unit and is
    refused.
    """
    match = _QUANTITY.fullmatch(str(text))
    unit = match[2].lower().removesuffix("/s") if match else ""
    if match is None or unit not in units:
        raise UserError(
            f"{text!r} is not a {what}; write it like {example} (units: {', '.join(units)})"
        )
    value = float(match[1]) * units[unit]
    if not math.isfinite(value):
        raise UserError(f"{text!r} is too large for a {what}")
    return value


def parse_duration_ns(text: object) -> int:
    """``"40ms"`` -> 40_000_000. Raises UserError."""
    return round(_parse(text, _DURATION_NS, "duration", "40ms"))


def parse_rate_bps(text: object) -> float:
    """``"12mbit"`` (or ``12Mbit/s``, ``12Mbps``) -> 12e6. Raises UserError, also for ``12MBps``."""
    in_bytes = _BYTES_PER_S.fullmatch(str(text))
    if in_bytes is not None:
        bits = f"{float(in_bytes[1]) * 8:g}{in_bytes[2].lower()}bit"
        raise UserError(f"{text!r} is in bytes per second and a rate is in bits; write {bits}")
    return _parse(text, _RATE_BPS, "rate", "12mbit")


def parse_size_bytes(text: object) -> int:
    """``"60kB"`` -> 60_000. Raises UserError."""
    return round(_parse(text, _SIZE_BYTES, "size", "60kB"))


def parse_fraction(text: object) -> float:
    """``"0.5%"`` or ``0.005`` -> 0.005; outside [0, 1] is refused. Raises UserError."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None or match[2] not in ("", "%"):
        raise UserError(f"{text!r} is not a fraction; write it like 0.5% or 0.005")
    value = float(match[1]) / (100 if match[2] else 1)
    if not 0 <= value <= 1:
        raise UserError(f"{text!r} is not between 0 and 100 %")
    return value


def _format(value: float, units: Mapping[str, float]) -> str:
    """The shortest exact form: the largest unit in which the number has at most six digits."""
    for unit, scale in sorted(units.items(), key=lambda item: -item[1]):
        scaled = value / scale
        text = f"{scaled:.6g}"
        if scaled >= 1 and "e" not in text and float(text) * scale == value:
            return f"{text}{unit}"
    unit, scale = min(units.items(), key=lambda item: item[1])
    return f"{value / scale:.15g}{unit}"


def format_duration(value_ns: int) -> str:
    """40_000_000 -> ``"40ms"``."""
    return _format(value_ns, {unit: _DURATION_NS[unit] for unit in ("ns", "us", "ms", "s")})


def format_rate(value_bps: float) -> str:
    """12e6 -> ``"12mbit"``."""
    return _format(value_bps, {unit: _RATE_BPS[unit] for unit in ("bit", "kbit", "mbit", "gbit")})


def format_size(value_bytes: int) -> str:
    """60_000 -> ``"60kB"``."""
    text = _format(value_bytes, {unit: _SIZE_BYTES[unit] for unit in ("b", "kb", "mb")})
    return text.removesuffix("b").removesuffix("k").removesuffix("m") + {"k": "kB", "m": "MB"}.get(
        text[-2], "B"
    )
