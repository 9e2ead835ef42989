"""The targets, worked out by hand: the better rival per cell, ratios over nothing, and what counts
as met.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.league.table import to_frame, to_table
from experiments.congestion.targets import Target, judged_schemes, ratios, results, worse_on_all
from tests.analysis.league.rows import row


def frame(rows):
    return to_frame(to_table(rows))


def cells(metric, table, **given):
    """Rows of one metric: scenario -> (policy, bbr, cubic)."""
    return [
        row(scenario, scheme, **{metric: value}, **given)
        for scenario, values in table.items()
        for scheme, value in zip(("policy", "bbr", "cubic"), values, strict=True)
        if value is not None
    ]


def named(found, title):
    return next(result for result in found if result.target.title == title)


def test_ratios_over_nothing():
    own, better = np.array([0.0, 0.1, 0.1, 0.0, np.nan]), np.array([0.0, 0.0, 0.2, 0.2, 0.2])
    assert ratios(own, better, empty=0.0)[:4].tolist() == [0.0, math.inf, 0.5, 0.0]
    assert ratios(own, better, empty=1.0)[0] == 1.0
    assert math.isnan(ratios(own, better, empty=0.0)[4])


def test_the_better_of_the_two_is_taken_in_every_cell():
    # min(bbr, cubic) = 0.10, 0.20, 0.40; ratios 0.5, 1.0, 0.25.
    table = {"a": (0.05, 0.10, 0.30), "b": (0.20, 0.50, 0.20), "c": (0.10, 0.40, 0.80)}
    found = named(results(frame(cells("stall_100", table)), "policy"), "stall rate >100 ms, ratio")
    assert found.value == pytest.approx(0.5)
    assert found.met
    assert found.met_cells == pytest.approx(2 / 3)
    assert found.cells == found.traces == 3
    assert found.difference == pytest.approx(-0.05)  # of -0.05, 0, -0.30


def test_stalls_are_also_held_against_whoever_shows_the_larger_picture():
    # (stalls, bitrate). a: bbr shows more: 0.1 / 0.2. b: cubic does: 0.3 / 0.1. c: equal, the
    # first: 0.2 / 0.5. d: without a bitrate nobody shows more.
    table = {
        "a": ((0.1, 4.0), (0.2, 5.0), (0.0, 1.0)),
        "b": ((0.3, 4.0), (0.6, 2.0), (0.1, 3.0)),
        "c": ((0.2, 4.0), (0.5, 2.0), (0.4, 2.0)),
        "d": ((0.2, 4.0), (0.1, None), (0.1, 2.0)),
    }
    rows = [
        row(scenario, scheme, stall_100=stalls, bitrate_mbps=bitrate)
        for scenario, values in table.items()
        for scheme, (stalls, bitrate) in zip(("policy", "bbr", "cubic"), values, strict=True)
    ]
    found = named(results(frame(rows), "policy"), "stall rate >100 ms, ratio to who shows more")
    assert found.cells == 3
    assert found.value == pytest.approx(0.5)  # of 0.5, 3, 0.4


def test_cells_without_stalls_count_as_met_and_are_left_out_of_the_second_row():
    # a, b: nobody stalls: 0. c: only the policy does: infinite. d: 0.3 / 0.4 = 0.75.
    table = {"a": (0, 0, 0.1), "b": (0, 0, 0), "c": (0.1, 0, 0.2), "d": (0.3, 0.4, 0.5)}
    found = results(
        frame(
            cells("stall_200", {key: tuple(map(float, values)) for key, values in table.items()})
        ),
        "policy",
    )
    every = named(found, "stall rate >200 ms, ratio")
    assert every.value == pytest.approx(0.375)  # of 0, 0, 0.75, inf
    assert every.met
    assert not every.sure
    assert every.met_cells == 0.5
    stalling = named(found, "stall rate >200 ms, ratio, only cells with stalls")
    assert stalling.cells == 2
    assert stalling.value == math.inf
    assert not stalling.met
    assert stalling.ci95 is None


def test_a_policy_that_alone_stalls_everywhere_is_infinitely_worse():
    table = dict.fromkeys("abcdef", (0.1, 0.0, 0.0))
    found = named(results(frame(cells("stall_100", table)), "policy"), "stall rate >100 ms, ratio")
    assert found.value == math.inf
    assert found.ci95 == (math.inf, math.inf)
    assert not found.met
    assert found.difference == pytest.approx(0.1)


def test_rates_are_held_against_the_faster_one():
    table = {"a": (1.9, 2.0, 1.0), "b": (0.96, 0.5, 1.0), "c": (3.0, 2.0, 2.5)}
    table |= dict.fromkeys("def", (0.96, 1.0, 0.5))
    rows = cells("throughput_mbps", table, flow="bulk", traffic="bulk")
    found = named(results(frame(rows), "policy"), "bulk throughput, ratio")
    assert found.value == pytest.approx(0.96)  # of 0.95, 0.96 four times, 1.2
    assert found.met
    assert found.sure


def test_a_cell_that_one_of_the_three_did_not_finish_is_left_out():
    table = {"a": (10.0, 20.0, 40.0), "b": (10.0, None, 10.0)}
    found = named(
        results(frame(cells("qdelay_p95_ms", table)), "policy"), "queueing delay p95, ratio"
    )
    assert found.cells == 1
    assert found.value == pytest.approx(0.5)


def test_without_a_rival_there_is_nothing_to_judge():
    assert (
        results(
            frame([row("a", "policy", stall_100=0.1), row("a", "bbr", stall_100=0.2)]), "policy"
        )
        == []
    )


def test_sharing_is_judged_where_it_was_asked_for():
    rows = [
        *(
            row(s, "policy", flows=2, traffic="bulk x2", flow="bulk", jain=j)
            for s, j in (("a", 0.9), ("b", 0.97), ("c", 0.99))
        ),
        *(
            row(s, "policy", cross="cubic", traffic="v", flow="bulk", share=j)
            for s, j in (("d", 0.2), ("e", 0.3), ("f", 0.8))
        ),
        row("g", "policy", cross="bbr", traffic="w", flow="bulk", share=0.01),
        row("h", "policy", flows=4, traffic="bulk x4", flow="bulk", jain=0.3),
    ]
    found = results(frame(rows), "policy")
    jain = named(found, "Jain's index of two flows")
    assert (jain.value, jain.met, jain.sure, jain.cells) == (0.97, True, False, 3)
    share = named(found, "share of the link against one cubic flow")
    assert (share.value, share.met, share.cells) == (0.3, True, 3)
    assert share.met_cells == pytest.approx(1 / 3)


def families(stall, delay, rate):
    """Three cells in which the policy has these ratios to two equal rivals."""
    values = {"stall_100": (stall, 1.0), "qdelay_p95_ms": (delay, 1.0), "bitrate_mbps": (rate, 1.0)}
    return [
        row(
            f"{scenario}{stall}{delay}{rate}",
            scheme,
            family=f"f{stall}{delay}{rate}",
            **{k: v[scheme != "policy"] for k, v in values.items()},
        )
        for scenario in "abc"
        for scheme in ("policy", "bbr", "cubic")
    ]


def test_a_family_counts_only_if_it_is_worse_in_all_three():
    rows = [
        *families(2.0, 2.0, 0.5),
        *families(0.5, 2.0, 0.5),
        *families(2.0, 2.0, 1.0),
        *families(2.0, 0.9, 0.5),
    ]
    found = worse_on_all(frame(rows), "policy")
    assert found.families == ("f2.02.00.5",)
    assert found.judged == 4
    assert not found.met
    assert worse_on_all(frame(families(0.5, 2.0, 0.5)), "policy").met
    assert not worse_on_all(
        frame([row("a", "policy")]), "policy"
    ).met  # nothing to judge is not met


def test_the_oracle_and_the_kernels_own_are_not_judged():
    rows = [row("a", scheme) for scheme in ("bbr", "policy:oracle", "policy:llm", "policy")]
    assert judged_schemes(frame(rows)) == ["policy", "policy:llm"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target("t", "m", 0.0, 0.5), "at most 0.5"),
        (Target("t", "m", 0.95, math.inf), "at least 0.95"),
        (Target("t", "m", 0.25, 0.75), "0.25 to 0.75"),
    ],
)
def test_bounds_in_words(target, words):
    assert target.bound == words
    assert not target.holds(math.nan)
