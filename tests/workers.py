"""Sharing tests out to workers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]


class RootAlone(LoadScopeScheduling):  # type: ignore[misc,unused-ignore]
    """Files whose tests need root run one by one, on one of the workers: live cells side by side
    would measure each other. The others run beside them, a file at a time.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "root" if needs_root(file) else file


@cache
def needs_root(file: str) -> bool:
    """Whether the test file, by its path in the project, has a test with root."""
    return "pytest.mark.root" in (ROOT / file).read_text()
