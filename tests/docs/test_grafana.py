"""The Grafana dashboard asks for what the policy server counts, and for nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest

from policy.server.metrics import Metrics

BOARD = Path(__file__).parents[2] / "docs" / "reference" / "grafana.json"


def exported() -> dict[str, set[str]]:
    """Name of each series that the server exports -> its labels, after one of everything."""
    import numpy as np

    metrics = Metrics()
    metrics.answered("llm", np.array([1_000_000]), 500_000)
    metrics.late["llm"] = metrics.rejected["flow"] = metrics.reasons["loss"] = 1
    metrics.dropped["llm", "stale"] = 1
    metrics.queue["llm"] = 1
    series: dict[str, set[str]] = {}
    for line in generate_latest(metrics.registry()).decode().splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition("{")
            labels = re.findall(r'(\w+)="', rest)
            series.setdefault(name.split(" ")[0], set()).update(labels)
    return series


def queries() -> list[str]:
    board: dict[str, Any] = json.loads(BOARD.read_text(encoding="utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_every_query_is_of_series_and_labels_that_exist() -> None:
    series = exported()
    for query in queries():
        (name,) = re.findall(r"tbtest_\w+", query)
        assert name in series, query
        for by in re.findall(r"by \(([^)]*)\)", query):
            assert set(by.split(", ")) <= series[name], query


def test_every_counter_has_a_panel() -> None:
    asked = " ".join(queries())
    families = {re.sub(r"_(total|created|bucket|sum|count)$", "", name) for name in exported()}
    assert {name for name in families if name not in asked} == set()
