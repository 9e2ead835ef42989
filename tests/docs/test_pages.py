"""Pages are as short as CONTRIBUTING.md promises, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ALL_PAGES, PAGES, ROOT

_SCREENFUL = 60


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_a_guide_is_one_screenful(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= _SCREENFUL


def test_the_readme_is_short() -> None:
    lines = PAGES[0].read_text().splitlines()
    assert len(lines) < 120
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_merge_was_left_half_done(page: Path) -> None:
    assert not re.search(r"^(<{7}|>{7}|={7})( |$)", page.read_text(), re.MULTILINE)
