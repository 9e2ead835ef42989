"""Rows of a table in text: columns parted by comma, semicolon or tab; decimal commas where commas
part no columns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from traces.formats.base import first_line
from traces.formats.source import Source

_DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*")


def delimiter_of(header: str) -> str:
    """What parts the columns of a header: tab, semicolon or comma; "" if there is none of them."""
    return next((each for each in "\t;," if each in header), "")


def header_of(text: str) -> list[str]:
    """The names of columns in the first line of a table; [] if the line has no delimiter."""
    line = first_line(text)
    delimiter = delimiter_of(line)
    return (
        [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
        if delimiter
        else []
    )


def header_with(source: Source, needed: Sequence[str]) -> list[str]:
    """The names of columns. Raises TraceError where one of those needed is missing."""
    header = header_of(source.text)
    missing = [column for column in needed if column not in header]
    if missing:
        raise source.error("", f"has no column {', '.join(missing)}")
    return header


@dataclass(frozen=True)
class Row:
    """One row: its place in messages, and its cells."""

    place: str
    cells: list[str]


def rows_of(source: Source) -> Iterator[Row]:
    """The rows below the header. Raises TraceError where a row has another number of cells than the
    header.
    """
    lines = source.lines()
    _, header = next(lines)
    delimiter = delimiter_of(header)
    width = len(header_of(source.text))
    for number, line in lines:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
        if len(cells) != width:
            raise source.error(f"line {number}", f"has {len(cells)} fields, the header has {width}")
        if delimiter != ",":
            cells = [
                cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells
            ]
        yield Row(f"line {number}", cells)
