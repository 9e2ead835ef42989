"""A scope and two empty router namespaces for the tests of links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.system.netns import NetNs
from testbed.system.scope import Scope


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    with Scope(state_dir=tmp_path / "state") as scope:
        yield scope


@pytest.fixture
def routers(scope: Scope) -> tuple[NetNs, NetNs]:
    return new_netns(scope, "a"), new_netns(scope, "b")


def new_netns(scope: Scope, name: str) -> NetNs:
    """A namespace that lives as long as the scope."""
    process = scope.spawn(["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"], name=name)
    process.read_line(5)
    return scope.enter(NetNs.of(process.pid))
