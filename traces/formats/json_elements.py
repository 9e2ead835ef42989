"""What the JSON formats share: parsing with a place in the message, and fields of list elements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from traces.formats.source import Source


def parse_json(source: Source) -> Any:
    """The JSON value of the file. Raises TraceError naming line and column."""
    try:
        return json.loads(source.text)
    except json.JSONDecodeError as error:
        raise source.error(
            f"line {error.lineno}, column {error.colno}", f"not valid JSON: {error.msg}"
        ) from None
    except (RecursionError, ValueError):  # nested or numbers written beyond any sense
        raise source.error("", "not a trace: JSON nested too deeply or a number too long") from None


def elements(source: Source, value: object, what: str) -> list[Mapping[str, object]]:
    """`value` as a non-empty list of objects; `what` names it in messages. Raises TraceError."""
    if not isinstance(value, list):
        raise source.error("", f"{what} is not a list of steps")
    if not value:
        raise source.error("", f"{what} is empty; a trace needs at least one step")
    for index, element in enumerate(value):
        if not isinstance(element, dict):
            raise source.error(f"element {index}", "is not an object like {…}")
    return value


def field(
    source: Source,
    element: Mapping[str, object],
    index: int,
    key: str,
    high: float,
    default: float | None = None,
) -> float:
    """The number `element[key]` within [0, high]. Raises TraceError naming the element and the
    key.
    """
    place = f"element {index}"
    if key not in element:
        if default is None:
            raise source.error(place, f"{key} is missing")
        return default
    return source.number(element[key], place, key, 0, high)
