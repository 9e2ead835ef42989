"""What the system refuses is said with the path and a remedy that fits the reason."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from testbed.errors import explain


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "mounted read-only"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EACCES, "run with sudo"),
        (errno.ENAMETOOLONG, "a shorter name"),
        (errno.ENOENT, "is it the right path?"),
    ],
)
def test_path_reason_and_remedy(number: int, remedy: str) -> None:
    text = explain(OSError(number, os.strerror(number)), Path("/some/path"))
    assert text.startswith(f"/some/path: {os.strerror(number)}; ")
    assert remedy in text


def test_the_path_of_the_error_wins() -> None:
    with pytest.raises(OSError, match="No such file") as raised:
        Path("/nowhere/at/all").read_text()
    assert explain(raised.value, "/else").startswith("/nowhere/at/all: No such file or directory")


def test_without_path_or_number_the_text_stands_alone() -> None:
    assert explain(OSError("broken")) == "broken"
