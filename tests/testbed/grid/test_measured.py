"""What workers print."""

from __future__ import annotations

from testbed.grid.measured import answer_of


def test_a_workers_line() -> None:
    assert answer_of('{"power": 1.5}') == ({"power": 1.5}, None)
    for line in ("", "12", "[1]", "oops"):
        measured, error = answer_of(line)
        assert measured is None
        assert "instead of its row" in error
