"""Common Media Client Data (CTA-5004): what a player tells the server in a request's query."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from urllib.parse import parse_qs, quote, urlsplit

MAX_BYTES = 2048
_LARGEST = 10**12


@dataclass(frozen=True)
class Cmcd:
    """The keys that the log holds; -1: not given.

    br: encoded bitrate, kbit/s; bl: buffer, ms; d: duration of the chunk, ms; dl: deadline, ms;
    mtp: measured throughput, kbit/s; tb: top bitrate, kbit/s; bs, su: 1 if the buffer ran empty
    before the request, if it is needed for the start.
    """

    br: int = -1
    bl: int = -1
    d: int = -1
    dl: int = -1
    mtp: int = -1
    tb: int = -1
    bs: int = -1
    su: int = -1


_FLAGS = ("bs", "su")


def to_query(cmcd: Cmcd, session_id: str) -> str:
    """``CMCD=...`` as it stands in a query. Flags that are false are left out, as the standard
    says.
    """
    parts = [f'sid="{session_id}"', "sf=d", "ot=v", "st=v"]
    for field in fields(cmcd):
        value = getattr(cmcd, field.name)
        if field.name in _FLAGS:
            parts += [field.name] if value == 1 else []
        elif value >= 0:
            # The standard rounds times and throughput to 100.
            rounded = round(value, -2) if field.name in ("bl", "dl", "mtp") else value
            parts.append(f"{field.name}={rounded}")
    return f"CMCD={quote(','.join(sorted(parts)))}"


def of_request(target: str) -> Cmcd | None:
    """What the target of a request tells; None if it tells nothing. Keys unknown here and values
    that are malformed are left out.
    """
    if len(target) > MAX_BYTES:
        return None
    try:
        text = parse_qs(urlsplit(target).query, max_num_fields=32).get("CMCD", [""])[0]
    except ValueError:
        return None
    if not text:
        return None
    found = dict.fromkeys(_FLAGS, 0)
    known = {field.name for field in fields(Cmcd)}
    for name, value in re.findall(r"([a-z]{1,8})(?:=([^,]*))?", text):
        if name in _FLAGS:
            found[name] = 0 if value == "?0" else 1
        elif name in known and value.isascii() and value.isdigit() and int(value) < _LARGEST:
            found[name] = int(value)
    return Cmcd(**found)
