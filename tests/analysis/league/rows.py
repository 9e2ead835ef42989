"""Rows of a league as they would have been measured."""

from __future__ import annotations

from analysis.league.table import SCHEMA


def row(scenario, scheme, **given):
    """A row of one video flow on trace `scenario[0]`, but for what is given."""
    base = dict.fromkeys(SCHEMA.names)
    base |= {
        "scenario": scenario,
        "scheme": scheme,
        "trace": scenario[0],
        "family": "lte",
        "split": "test",
        "traffic": "video",
        "flow": "video",
        "flows": 1,
        "cross": "",
        "rtt_ms": 40.0,
        "buffer": "4bdp",
        "loss": "",
        "seed": 1,
        "duration_s": 5.0,
        "trace_mbps": 8.0,
        "trace_scale": 1.0,
        "warnings": "",
    }
    return base | given
