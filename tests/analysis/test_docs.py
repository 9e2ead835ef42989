"""docs/reference/metrics.md and docs/reference/formats.md name every key of metrics.json and every
column that the metrics read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from analysis.files import (
    CellEntry,
    CellRecord,
    FlowRecord,
    LinkEntry,
    Manifest,
    Spread,
    TraceEntry,
    Verdict,
)
from analysis.logs import COLUMNS
from analysis.metrics.schema import Metrics

WORDS = {
    Verdict.DELIVERED: "delivered",
    Verdict.TAIL_DROP: "tail drop",
    Verdict.AQM_DROP: "AQM drop",
    Verdict.RANDOM_LOSS: "random loss",
    Verdict.IN_QUEUE: "in the queue at the end",
    Verdict.DUPLICATE: "a second copy, delivered",
    Verdict.POLICED: "dropped by the policer",
}
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
    read = {name for schema in COLUMNS.values() for name in schema.names}
    assert sorted(name for name in read if f"`{name}`" not in text) == []


def test_every_key_of_the_records_is_documented() -> None:
    """Of manifest.json and cell.json, as they are read."""
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    names = {
        info.alias or name
        for record in (CellRecord, FlowRecord, LinkEntry, Spread, Manifest, TraceEntry, CellEntry)
        for name, info in record.model_fields.items()
    }
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_every_verdict_is_documented() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    said = ", ".join(f"{verdict.value} {WORDS[verdict]}" for verdict in Verdict)
    assert said in text
