"""A pydantic ValidationError as one line."""

from __future__ import annotations

import difflib

from pydantic import BaseModel, ValidationError

_LONGEST_VALUE = 60


def first_mistake(
    error: ValidationError,
    model: type[BaseModel] | None = None,
    *,
    prefix: str = "",
    what: str = "key",
) -> str:
    """Key, value and reason of the first mistake: `rtt: '40' is not a duration`.

    `model` adds the known keys where one is unknown. `prefix` goes before the key, as
    `policy.oracle` does. `what` is the noun of a key: key, option, parameter.
    """
    first = error.errors()[0]
    key = ".".join([*([prefix] if prefix else []), *map(str, first["loc"])])
    if first["type"] == "extra_forbidden":
        # Below the top the model's own keys say nothing.
        top = model is not None and len(first["loc"]) == 1
        hint = _hint(str(first["loc"][-1]), _known_keys(model)) if model and top else ""
        return f"unknown {what} {key!r}{hint}"
    reason = first["msg"].removeprefix("Value error, ")
    if not key:
        return reason
    named = key if what == "key" else f"{what} {key}"
    value = repr(first["input"])
    # Own validators name the value themselves; a missing key and a mapping have none worth showing.
    shown = first["type"] not in ("missing", "value_error") and len(value) <= _LONGEST_VALUE
    return f"{named} = {value}: {reason}" if shown else f"{named}: {reason}"


def _known_keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _hint(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"{meant}; known: {', '.join(known) or 'none'}"
