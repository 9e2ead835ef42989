"""Pairing, win rates, winners and groups."""

from __future__ import annotations

import math

import pytest

from analysis.league.compare import ALL, compare, default_baseline, groups, scheme_order
from analysis.league.table import to_frame, to_table
from tests.analysis.league.rows import row

TRACES = "abcdef"


def table(values, metric="qdelay_p95_ms", traces=TRACES, **given):
    """scheme -> value per trace."""
    return to_frame(
        to_table(
            [
                row(trace, scheme, **{metric: value}, **given)
                for scheme, each in values.items()
                for trace, value in zip(traces, each, strict=True)
                if value is not None
            ]
        )
    )


def test_differences_and_wins_are_of_pairs():
    frame = table(
        {"bbr": [10.0, 20, 30, 40, 50, 60, None], "policy": [5.0, 25, 30, 10, 51, 57, 99]},
        traces="abcdefg",
    )
    entry = compare(frame, "bbr", ALL, "video").of("qdelay_p95_ms", "policy")
    assert (entry.cells, entry.pairs, entry.traces) == (7, 6, 7)
    assert entry.median == 30
    assert entry.difference == pytest.approx(-1.5)  # of -5, 5, 0, -30, 1, -3
    assert entry.wins == 0.5  # less delay is better
    assert entry.ties == pytest.approx(1 / 6)
    assert entry.difference_ci95 is not None
    baseline = compare(frame, "bbr", ALL, "video").of("qdelay_p95_ms", "bbr")
    assert (baseline.pairs, baseline.difference, baseline.wins) == (0, None, None)


def test_more_is_better_for_rates_and_neither_for_shares():
    rates = table({"bbr": [1.0] * 6, "policy": [2.0] * 6}, "bitrate_mbps")
    assert compare(rates, "bbr", ALL, "video").of("bitrate_mbps", "policy").wins == 1.0
    shares = table({"bbr": [0.1] * 6, "policy": [0.5] * 6}, "share")
    entry = compare(shares, "bbr", ALL, "video").of("share", "policy")
    assert entry.wins is None
    assert entry.difference == pytest.approx(0.4)
    assert not entry.winner


def winners(frame):
    return [entry.scheme for entry in compare(frame, "bbr", ALL, "video").entries if entry.winner]


def test_a_winner_only_where_every_interval_separates():
    clear = {
        "bbr": [1.0, 2, 3, 4, 5, 6],
        "cubic": [0.5, 1, 2, 3, 4, 5],
        "policy": [2.0, 3, 4, 5, 6, 7],
    }
    assert winners(table(clear, "on_time_mbps")) == ["policy"]
    assert winners(table(clear | {"policy": [2.0, 3, 4, 2, 3, 4]}, "on_time_mbps")) == []
    assert winners(table({"bbr": clear["bbr"]}, "on_time_mbps")) == []


def test_five_traces_have_no_winner_and_no_interval():
    values = {"bbr": [1.0, 2, 3, 4, 5], "policy": [2.0, 3, 4, 5, 6]}
    frame = table(values, "on_time_mbps", traces="abcde")
    assert winners(frame) == []
    entry = compare(frame, "bbr", ALL, "video").of("on_time_mbps", "policy")
    assert (entry.difference, entry.difference_ci95, entry.ci95) == (1.0, None, None)


@pytest.mark.parametrize("metric", ["stall_100", "bitrate_mbps", "qdelay_p95_ms", "loss_rate"])
def test_what_a_slow_or_a_late_controller_can_win_gets_no_mark(metric):
    values = {"bbr": [0.1] * 6, "cubic": [0.3] * 6, "policy": [0.2] * 6}
    assert winners(table(values, metric)) == []


def test_the_oracle_never_wins_and_takes_no_win_away():
    values = {
        "bbr": [1.0, 2, 3, 4, 5, 6],
        "policy": [2.0, 3, 4, 5, 6, 7],
        "policy:oracle": [9.0] * 6,
    }
    assert winners(table(values, "on_time_mbps")) == ["policy"]


def test_all_families_come_first_and_video_alone_before_the_rest():
    rows = [
        row("a", "bbr", traffic="bulk x2", flow="bulk", flows=2, family="wifi"),
        row("b", "bbr", traffic="bulk", flow="bulk", family="lte"),
        row("c", "bbr", family="lte"),
        row("d", "bbr", traffic="bulk vs cubic", flow="bulk", cross="cubic", family="lte"),
    ]
    found = [(group.family, group.traffic) for group in groups(to_frame(to_table(rows)), "bbr")]
    assert found[:4] == [(ALL, "video"), (ALL, "bulk"), (ALL, "bulk vs cubic"), (ALL, "bulk x2")]
    assert found[4:] == [
        ("lte", "video"),
        ("lte", "bulk"),
        ("lte", "bulk vs cubic"),
        ("wifi", "bulk x2"),
    ]


def test_one_family_is_not_told_twice():
    assert [group.family for group in groups(table({"bbr": [1.0] * 6}), "bbr")] == [ALL]


def test_orders():
    assert scheme_order(["cubic", "policy:oracle", "bbr", "policy:gru", "policy"]) == [
        "policy", "policy:gru", "bbr", "cubic", "policy:oracle",
    ]  # fmt: skip
    assert default_baseline(["policy", "cubic", "bbr"]) == "bbr"
    assert default_baseline(["policy", "cubic"]) == "cubic"


def test_a_metric_that_no_cell_has_is_left_out():
    group = compare(table({"bbr": [1.0] * 6}), "bbr", ALL, "video")
    assert [metric.name for metric in group.metrics] == ["qdelay_p95_ms"]
    assert group.of("jain", "bbr") is None
    assert not math.isnan(group.entries[0].median)
