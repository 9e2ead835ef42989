"""Completion times of transfers: on which links, and when a transfer is complete."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from experiments.congestion import transfers
from policy.tasks.congestion.simulator import Cubic, Links


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Links:
    """Two transfers of 100 packets each on 12 Mbit/s."""
    monkeypatch.setattr(transfers, "PATHS", ((12e6, 20),))
    monkeypatch.setattr(transfers, "SIZES", (144_800,))
    monkeypatch.setattr(transfers, "TRANSFERS", 2)
    monkeypatch.setattr(transfers, "EVERY_MS", 1_000)
    return transfers.links()


def test_a_link_has_its_rate_and_a_buffer_of_four_products(short: Links) -> None:
    assert short.capacity_bps.shape == (2_000, 1)
    np.testing.assert_allclose(short.capacity_bps, 12e6)
    np.testing.assert_allclose(short.buffer_bytes, [4 * 12e6 * 20 / 8e3])


def test_a_transfer_takes_what_its_link_needs_and_the_first_one_slow_start(short: Links) -> None:
    first, second = transfers.completion_ms(short, Cubic(1))[:, 0]
    needed_ms = 144_800 * 8e3 / 12e6
    assert needed_ms - 1 <= second < needed_ms + 10 < first < needed_ms + 60


def test_a_transfer_that_its_link_never_ends_has_no_time(short: Links) -> None:
    short.capacity_bps[1_050:] = 0
    found = transfers.completion_ms(short, Cubic(1))[:, 0]
    assert np.isnan(found).tolist() == [False, True]


def test_the_table_has_a_row_for_each_link_and_size(short: Links) -> None:
    table = CliRunner().invoke(transfers.main, ["cubic"]).output
    assert "| link, RTT | kB | cubic |" in table
    assert "| 12 Mbit/s, 20 ms | 145 | 9" in table
