"""Comparison over runs: what is paired with what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.compare import Comparison, Entry, compare_runs, comparison_table, write_page
from analysis.errors import AnalysisError
from tests.analysis.synthetic import SyntheticCell, bulk_cell, write_run
from traces.model import constant


def entry(comparison: Comparison, cc: str, metric: str = "throughput_mbps") -> Entry:
    (found,) = [row for row in comparison.entries if (row.cc, row.metric) == (cc, metric)]
    return found


def test_cells_are_paired_by_conditions_seed_and_repeat_across_runs(tmp_path: Path) -> None:
    # Repeats differ a lot, schemes by 1 Mbit/s within each: only pairing sees it. The schemes are
    # in separate runs.
    rates = {0: 2.0, 1: 5.0, 2: 9.0, 3: 3.0, 4: 7.0}
    bbr = [
        bulk_cell("bbr", rate + 1, 10, repeat=repeat, seed=repeat) for repeat, rate in rates.items()
    ]
    cubic = [
        bulk_cell("cubic", rate, 50, repeat=repeat, seed=repeat) for repeat, rate in rates.items()
    ]
    folders = [
        write_run(tmp_path / "a", bbr, scenario={"cc": ["bbr"], "policy": {"tier": "x"}}),
        write_run(tmp_path / "b", cubic, scenario={"cc": ["cubic"]}),
    ]
    comparison = compare_runs(folders, "cubic")
    found = entry(comparison, "bbr")
    assert (found.cells, found.pairs) == (5, 5)
    assert found.median == pytest.approx(6)
    assert found.difference == pytest.approx(1)
    assert found.difference_ci95 == pytest.approx((1, 1))
    own = entry(comparison, "cubic")
    assert own.difference == 0


@pytest.mark.parametrize("other", [{"rtt": "80ms"}, {"flow": "video"}, {"buffer": "4bdp"}])
def test_other_conditions_are_no_pair(tmp_path: Path, other: dict) -> None:
    folders = [
        write_run(tmp_path / "a", [bulk_cell("bbr", 5, 10)]),
        write_run(tmp_path / "b", [bulk_cell("cubic", 4, 10)], scenario=other),
    ]
    found = entry(compare_runs(folders, "cubic"), "bbr")
    assert (found.cells, found.pairs) == (1, 0)
    assert found.difference is None
    assert found.difference_ci95 is None


def test_another_trace_seed_or_repeat_is_no_pair(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", [bulk_cell("cubic", 4, 10)])
    others = [
        write_run(tmp_path / "trace", [bulk_cell("bbr", 4, 10)], trace=constant(13e6)),
        write_run(tmp_path / "seed", [bulk_cell("bbr", 4, 10, seed=12)]),
        write_run(tmp_path / "repeat", [bulk_cell("bbr", 4, 10, repeat=1)]),
    ]
    assert entry(compare_runs([base, *others], "cubic"), "bbr").pairs == 0


def test_the_baseline_is_the_first_by_name_and_must_exist(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [bulk_cell("cubic", 4, 10), bulk_cell("bbr", 5, 10)])
    assert compare_runs([folder], None).baseline == "bbr"
    with pytest.raises(AnalysisError, match="--baseline reno: no run has it; there are bbr, cubic"):
        compare_runs([folder], "reno")


def test_table_and_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [bulk_cell("cubic", 4, 10), bulk_cell("bbr", 5, 10)])
    comparison = compare_runs([folder], "cubic")
    table = comparison_table(comparison)
    assert [column.header for column in table.columns][-1] == "minus cubic"
    cells = dict(zip(table.columns[1].cells, table.columns[3].cells, strict=True))
    assert set(cells) == {"bbr", "cubic"}
    assert list(table.columns[3].cells)[:2] == ["5.00", "4.00"]
    assert list(table.columns[5].cells)[:2] == ["+1.00", ""]
    write_page(comparison, tmp_path / "compare.html")
    text = (tmp_path / "compare.html").read_text()
    assert "throughput Mbit" in text
    assert "<script src" not in text
    with pytest.raises(AnalysisError, match="cannot be written"):
        write_page(comparison, tmp_path / "no-such-folder" / "compare.html")


def policy_cell(rate_mbps: float, checkpoint: str | None) -> SyntheticCell:
    cell = bulk_cell("policy:llm", rate_mbps, 10)
    cell.agent = {"checkpoints": {"llm": checkpoint} if checkpoint else {}}
    return cell


def test_traces_of_one_name_and_other_content_are_no_pair(tmp_path: Path) -> None:
    slow, fast = constant(2e6), constant(20e6)
    fast = replace(fast, name=slow.name)
    folders = [
        write_run(tmp_path / "slow", [bulk_cell("bbr", 1.9, 10)], trace=slow),
        write_run(tmp_path / "fast", [bulk_cell("cubic", 17, 10)], trace=fast),
    ]
    assert entry(compare_runs(folders, "bbr"), "cubic").pairs == 0


def test_one_trace_under_two_names_is_a_pair(tmp_path: Path) -> None:
    trace = constant(12e6)
    folders = [
        write_run(tmp_path / "a", [bulk_cell("bbr", 5, 10)], trace=trace),
        write_run(tmp_path / "b", [bulk_cell("cubic", 4, 10)], trace=replace(trace, name="other")),
    ]
    assert entry(compare_runs(folders, "bbr"), "cubic").pairs == 1


def test_two_checkpoints_are_never_averaged(tmp_path: Path) -> None:
    """Each value of a column is that of one checkpoint, whatever lay at the same place."""
    a, b = "a" * 64, "b" * 64
    first = write_run(tmp_path / "a", [policy_cell(1.6, a)])
    second = write_run(tmp_path / "b", [policy_cell(2.1, b)])
    comparison = compare_runs([first, second], None)
    found = {row.cc: row.median for row in comparison.entries if row.metric == "throughput_mbps"}
    assert found == {
        f"policy:llm [{first}]": pytest.approx(1.6),
        f"policy:llm [{second}]": pytest.approx(2.1),
    }


def test_a_checkpoint_that_moved_is_the_same_policy(tmp_path: Path) -> None:
    folders = [
        write_run(
            tmp_path / name,
            [policy_cell(rate, "a" * 64)],
            scenario={"policy": {"models": {"llm": f"/somewhere/{name}"}}},
        )
        for name, rate in (("x", 2.0), ("y", 3.0))
    ]
    assert entry(compare_runs(folders, None), "policy:llm").median == pytest.approx(2.5)


@pytest.mark.parametrize(("other", "rows"), [("a" * 64, 1), ("b" * 64, 2)])
def test_a_network_that_chose_levels_is_known_by_its_content(
    tmp_path: Path, other: str, rows: int
) -> None:
    """One file at two places is one policy; two files of one name are two."""
    own = replace(bulk_cell("bbr", 5, 10), abr="policy:x", abr_checkpoint="a" * 64)
    name = "policy:x" if rows == 2 else "policy:elsewhere"
    moved = replace(bulk_cell("bbr", 7, 10), abr=name, abr_checkpoint=other)
    folders = [
        write_run(tmp_path / place, [cell], scenario={"abr": [cell.abr]})
        for place, cell in (("one", own), ("two", moved))
    ]
    found = [row for row in compare_runs(folders, None).entries if row.metric == "throughput_mbps"]
    assert len({row.cc for row in found}) == rows
    assert all(row.cc.startswith("bbr + policy:x") for row in found)


def test_a_checkpoint_that_changed_within_a_run_is_told_apart(tmp_path: Path) -> None:
    cells = [policy_cell(1.6, "a" * 64), policy_cell(2.1, "b" * 64)]
    cells[1].repeat = 1
    folder = write_run(tmp_path / "run", cells)
    found = {row.cc for row in compare_runs([folder], None).entries}
    assert found == {f"policy:llm [{folder}]", f"policy:llm [{folder}] (2)"}


def test_runs_that_name_no_checkpoint_are_told_apart_by_their_options(tmp_path: Path) -> None:
    folders = [
        write_run(
            tmp_path / name,
            [policy_cell(2.0, None)],
            scenario={"policy": {"models": {"llm": name}}},
        )
        for name in ("x", "y")
    ]
    assert len({row.cc for row in compare_runs(folders, None).entries}) == 2
