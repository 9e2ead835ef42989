"""Who may import whom, among the packages: every arrow points down."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tbtest

ROOT = Path(__file__).parents[1]
LEAVES = {"plugins", "settings"}
ALLOWED = {
    "plugins": set(),
    "settings": set(),
    "traces": LEAVES,
    "topologies": LEAVES,
    "policy": {"traces", *LEAVES},
    "agent": {"policy", *LEAVES},
    "analysis": {"policy", "traces", *LEAVES},
    "testbed": {"agent", "analysis", "policy", "topologies", "traces", *LEAVES},
    "tbtest": {"analysis", "policy", "testbed", "topologies", "traces", *LEAVES},
}
"""Package -> the packages of ours that it imports at most."""


def imported(file: Path) -> set[str]:
    """The packages of ours that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names} & set(ALLOWED)


@pytest.mark.parametrize("package", ALLOWED)
def test_arrows_point_down(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    breaches = {
        str(file.relative_to(ROOT)): sorted(found)
        for file in files
        if (found := imported(file) - ALLOWED[package] - {package})
    }
    assert breaches == {}


def test_the_facade_has_all_that_it_names() -> None:
    for name in tbtest.__all__:
        assert getattr(tbtest, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = tbtest.absent
