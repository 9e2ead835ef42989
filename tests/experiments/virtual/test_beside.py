"""What is printed of live and virtual cells beside each other."""

from __future__ import annotations

from experiments.virtual.beside import Cells, Run, plan, rows

NAME = "throughput, Mbit/s"


def side(*values: float | None) -> Cells:
    runs = [run for run in plan() if run.flow == "bulk"]
    return {(run, "bbr"): {NAME: value} for run, value in zip(runs, values, strict=False)}


def test_only_pairs_are_compared() -> None:
    live = side(1.0, 2.0, None, 4.0)
    virtual = side(1.1, 2.4, 3.0)
    virtual[Run("other", "bulk", "40ms"), "bbr"] = {NAME: 9.0}
    assert list(rows(live, virtual)) == [("bulk", "bbr", NAME, "1.5", "1.75", "1.15", "2")]


def test_five_traces_have_intervals() -> None:
    (row,) = rows(side(1.0, 2.0, 3.0, 4.0, 5.0), side(2.0, 4.0, 6.0, 8.0, 10.0))
    assert row[3:] == ("3 [1, 5]", "6 [2, 10]", "2 [2, 2]", "5")


def test_a_median_of_nothing_has_no_ratio() -> None:
    (row,) = rows(side(0.0), side(1.0))
    assert row[5] == "nan"
