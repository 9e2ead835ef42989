"""Sharing tests out to workers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]


PAGES = "tests/docs/test_commands.py"
"""Each test runs the commands of a page in a folder of its own and measures nothing."""


class RootAlone(LoadScopeScheduling):  # type: ignore[misc,unused-ignore]
    """Files whose tests need root run one by one, on one of the workers: live cells side by side
    would measure each other. The others run beside them, a file at a time, and last the pages of
    the documentation, on whichever worker is free.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        if file == PAGES:
            return nodeid
        return "root" if needs_root(file) else file


@cache
def needs_root(file: str) -> bool:
    """Whether the test file, by its path in the project, has a test with root."""
    return "pytest.mark.root" in (ROOT / file).read_text()
