"""Who may import whom: every arrow between packages points down, none runs in a circle, and only
the rooms that carry out a task know that task.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
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
TASKS = "policy.tasks."
OF_TASKS = {
    "policy.server": {"congestion", "abr"},  # records of flows, requests of players
    "policy.protocol": {"abr"},
    "policy.scheduler": {"congestion"},
    "policy.explain": {"congestion"},
    "testbed.cli.explain": {"congestion"},
    "testbed.collect": {"congestion"},
    "testbed.controllers": {"congestion"},  # the oracle's file
    "testbed.traffic": {"abr", "cjs"},
    "testbed.traffic.dash": {"abr"},
    "testbed.traffic.jobs": {"cjs"},
    "testbed.cli.abr": {"abr"},
    "testbed.cli.cjs": {"cjs"},
    "tbtest": {"congestion"},
}
"""Room -> the tasks that it carries out. All other rooms reach tasks through the registry alone."""


@cache
def modules() -> dict[str, Path]:
    """Our modules by dotted name."""
    files = {}
    for package in ALLOWED:
        for file in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            files[name.removesuffix(".__init__")] = file
    return files


def imported(file: Path) -> Iterator[str]:
    """The modules of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules() else node.module for name in inside]
        else:
            continue
        yield from (name for name in names if name in modules())


def room(module: str) -> str:
    """The folder of a module; one that lies directly in a top-level package is a room itself, and
    so is a whole task.
    """
    if module.startswith(TASKS) and module.split(".")[2] in tasks():
        return ".".join(module.split(".")[:3])
    if module.count(".") <= 1 or modules()[module].name == "__init__.py":
        return module
    return module.rpartition(".")[0]


@cache
def tasks() -> frozenset[str]:
    """Names of the tasks' folders."""
    return frozenset(file.parent.name for file in (ROOT / "policy" / "tasks").glob("*/task.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_arrows_point_down(package: str) -> None:
    files = [file for name, file in modules().items() if name.partition(".")[0] == package]
    assert files
    breaches = {}
    for file in files:
        packages = {name.partition(".")[0] for name in imported(file)}
        if wrong := packages - ALLOWED[package] - {package}:
            breaches[str(file.relative_to(ROOT))] = sorted(wrong)
    assert breaches == {}


def test_no_rooms_import_each_other_in_a_circle() -> None:
    arrows: dict[str, set[str]] = {}
    for module, file in modules().items():
        here = room(module)
        # A package's own names from its own modules, in its __init__, are no arrow.
        own = f"{module}." if file.name == "__init__.py" else "\0"
        there = {room(name) for name in imported(file) if not name.startswith(own)}
        arrows.setdefault(here, set()).update(there - {here})
    open_rooms = set(arrows)
    while True:
        ends = {name for name in open_rooms if not arrows[name] & open_rooms}
        if not ends:
            break
        open_rooms -= ends
    # What is left lies on circles, or above one.
    while unneeded := {
        name for name in open_rooms if not any(name in arrows[other] for other in open_rooms)
    }:
        open_rooms -= unneeded
    assert {name: sorted(arrows[name] & open_rooms) for name in sorted(open_rooms)} == {}


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports within functions count."""
    arrows = {name: set(imported(file)) - {name} for name, file in modules().items()}
    list(TopologicalSorter(arrows).static_order())  # raises CycleError, which names the files


def test_only_rooms_of_a_task_import_it() -> None:
    known = {f"{TASKS}{name}" for name in tasks()}
    used: dict[str, set[str]] = {}
    for module, file in modules().items():
        here = module if module in OF_TASKS else room(module)
        if here in known:
            continue
        for name in imported(file):
            if room(name) in known:
                used.setdefault(here, set()).add(room(name).removeprefix(TASKS))
    assert used == OF_TASKS


def test_the_registry_names_every_task() -> None:
    from policy.tasks import registry

    assert set(registry.names()) == tasks()


def test_the_facade_has_all_that_it_names() -> None:
    for name in tbtest.__all__:
        assert getattr(tbtest, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = tbtest.absent
