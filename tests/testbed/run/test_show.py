"""What a run prints at its end."""

from __future__ import annotations

from testbed.run.show import _first_of_each_kind


def test_warnings_that_differ_in_numbers_alone_are_counted_after_three() -> None:
    late = [f"000-bbr-r0: flow {flow}: captured {flow * 1.5} ms late" for flow in range(10)]
    other = "000-bbr-r0: the link was off by 5 %"
    assert _first_of_each_kind([*late[:5], other, *late[5:]]) == [
        *late[:3],
        "7 more like the last: see the report",
        other,
    ]


def test_three_of_a_kind_are_all_shown() -> None:
    assert _first_of_each_kind(["flow 1", "flow 2", "flow 3"]) == ["flow 1", "flow 2", "flow 3"]
