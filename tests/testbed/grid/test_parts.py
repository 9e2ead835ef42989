"""Done cells are files."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import UserError
from testbed.grid.parts import Parts
from testbed.stress.grid import StressGrid, chosen_failures, expand

CELLS = expand(StressGrid.model_validate({"seeds": [1]}), chosen_failures(["none"]))


def test_what_is_written_is_done_and_read_again(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    parts = Parts(tmp_path, 1)
    parts.write(CELLS[0], {"a": 1})
    assert parts.left(CELLS) == CELLS[1:]
    assert parts.read(CELLS) == [{"a": 1}]


@pytest.mark.parametrize(
    ("content", "words"), [("{", "cannot be read"), ("[]", "version"), ("{}", "version")]
)
def test_a_part_that_cannot_be_used_is_named(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "cells").mkdir()
    parts = Parts(tmp_path, 1)
    parts.path(CELLS[0]).write_text(content)
    with pytest.raises(UserError, match=f"{CELLS[0].id}.json: .*{words}"):
        parts.read(CELLS)
