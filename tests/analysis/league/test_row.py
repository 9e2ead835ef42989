"""The share of the link, by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.files import CellRecord, FlowRecord
from analysis.league.row import share_of_link
from analysis.run import Cell


def flow(number, role, start_ns, stop_ns=100):
    return FlowRecord(
        flow=number,
        kind="bulk",
        role=role,
        start_ns=start_ns,
        stop_ns=stop_ns,
        base_owd_ns=1,
        base_rtt_ns=2,
        bottleneck=0,
    )


def cell(*flows):
    record = CellRecord(
        schema=1, cc="bbr", repeat=0, seed=1, start_ns=0, stop_ns=100, flows=flows, links=[]
    )
    return Cell(Path("x"), record)


def goodput(*rows):
    return pd.DataFrame(rows, columns=["flow", "at_ns", "received_bytes"])


def test_only_the_time_in_which_all_were_active_counts():
    rows = goodput(
        (0, 10, 500), (0, 50, 1000), (0, 100, 1300), (1, 60, 100), (1, 100, 900), (1, 110, 5000)
    )
    # From 50 to 100: 300 of the measured flow, 900 of the other.
    assert share_of_link(rows, cell(flow(0, "measured", 0), flow(1, "cross", 50))) == pytest.approx(
        0.25
    )


def test_nothing_to_share():
    assert share_of_link(goodput((0, 10, 500)), cell(flow(0, "measured", 0))) is None
    assert (
        share_of_link(goodput((0, 0, 0)), cell(flow(0, "measured", 0), flow(1, "cross", 0))) is None
    )
