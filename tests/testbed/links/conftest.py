"""Fixtures for the tests of links: a scope, two router namespaces, and the relay's C code in
simulated time.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from testbed.links.base import Direction, LinkSpec
from testbed.links.relay.spec import write_spec
from testbed.system.netns import NetNs
from testbed.system.scope import Scope

RELAY = Path(__file__).parents[3] / "testbed" / "links" / "relay"


@dataclass(frozen=True)
class Record:
    direction: int
    verdict: int
    enqueue_ns: int
    dequeue_ns: int
    deliver_ns: int
    due_ns: int
    size_bytes: int
    queue_bytes: int
    marked: int = 0
    port: int = 0


class Simulation:
    """Compiles and runs simulate.c, or another program of the same use.

    `packets`: (arrival time, size[, ECN codepoint[, source port]]) in order. Results are sorted by
    arrival, equal ones as they were
    logged.
    """

    def __init__(self, folder: Path, program: str = "simulate.c", *further: Path) -> None:
        self.program = folder / "simulate"
        self.spec = folder / "spec"
        sources = [
            path for path in sorted(RELAY.glob("*.c")) if path.name not in ("main.c", "log.c")
        ]
        command = [
            "cc",
            "-std=gnu11",
            "-O1",
            "-g",
            "-fsanitize=undefined",
            "-fno-sanitize-recover",
            f"-I{RELAY}",
        ]
        subprocess.run(
            [*command, "-o", self.program, Path(__file__).with_name(program), *sources, *further],
            check=True,
        )

    def run_spec(
        self, zero_ns: int = 0, until_ns: int = 10**15, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), str(self.spec), str(zero_ns), str(until_ns)]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=60
        )

    def run(
        self,
        direction: Direction,
        packets: Sequence[tuple[int, ...]],
        zero_ns: int = 0,
        until_ns: int = 10**15,
    ) -> list[Record]:
        write_spec(self.spec, LinkSpec("test", direction, Direction()), Path("/nowhere"))
        done = self.run_spec(
            zero_ns,
            until_ns,
            "".join(
                "0 {} {} {} {}\n".format(*packet, *(0, 0)[len(packet) - 2 :]) for packet in packets
            ),
        )
        assert done.returncode == 0, done.stderr
        records = [Record(*map(int, line.split())) for line in done.stdout.splitlines()]
        return sorted(records, key=lambda record: record.enqueue_ns)


def newton_roots(most: int) -> npt.NDArray[np.float64]:
    """Of 1 to ``most``, by a step of Newton's method each from the last one: x (3 - n x^2) / 2, in
    65536ths.
    """
    found = [65535]
    for count in range(2, most + 1):
        x = found[-1] / 65536
        found.append(int(65536 * x * (3 - count * x * x) / 2))
    return np.array(found[:most]) / 65536


@pytest.fixture(scope="session")
def inverse_roots() -> Callable[[int], npt.NDArray[np.float64]]:
    """CoDel's roots of 1 to n, as Linux has them."""
    return newton_roots


@pytest.fixture(scope="session")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return Simulation(tmp_path_factory.mktemp("simulate"))


@pytest.fixture(scope="session")
def link_simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """The same through the link that the kernel's module uses."""
    folder = tmp_path_factory.mktemp("simulate-link")
    return Simulation(folder, "simulate_link.c", RELAY / "kernel" / "link.c")


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    with Scope(state_dir=tmp_path / "state") as scope:
        yield scope


@pytest.fixture
def routers(scope: Scope) -> tuple[NetNs, NetNs]:
    return new_netns(scope, "a"), new_netns(scope, "b")


def new_netns(scope: Scope, name: str) -> NetNs:
    """A namespace that lives as long as the scope."""
    process = scope.spawn(
        ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"], name=name
    )
    process.read_line(5)
    return scope.enter(NetNs.of(process.pid))
