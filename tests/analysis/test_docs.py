"""docs/reference/metrics.md and docs/reference/formats.md name every key of metrics.json and every
column that the metrics read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from analysis.run import _COLUMNS, _LINK_KEYS
from analysis.schema import Metrics

DOCS = Path(__file__).parents[2] / "docs" / "reference"


def keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from keys(part)


def test_every_metric_is_documented() -> None:
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    undocumented = [
        key for key in keys(Metrics) if key not in text and not key.startswith("stall_rate_")
    ]
    assert undocumented == []
    assert "`stall_rate_100ms`, `_200ms`, `_500ms`" in text


def test_every_column_that_is_read_is_documented() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    read = {column for columns in _COLUMNS.values() for column in columns} | set(_LINK_KEYS)
    assert sorted(name for name in read if f"`{name}`" not in text) == []
