"""When things break and are mended."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.controllers.server import ServerProcess
from testbed.errors import UserError
from testbed.network import Network
from testbed.network.addressing import Plan
from testbed.network.routing import check_detours
from testbed.parts import Failure
from testbed.run.failures import Breaker, timeline
from testbed.run.prepared import resolve
from testbed.scenario import parse_scenario
from testbed.suite.scale import scaled
from topologies import create, find


def failure(**data: Any) -> Failure:
    return Failure.model_validate({"kind": "link", "link": "short", "at": "2s", **data})


@given(
    at_ms=st.integers(0, 5000),
    length_ms=st.integers(20, 5000),
    every_ms=st.none() | st.integers(20, 6000),
)
def test_what_breaks_is_mended_at_its_stop_at_the_latest(
    at_ms: int, length_ms: int, every_ms: int | None
) -> None:
    every = {} if every_ms is None else {"every": f"{every_ms}ms"}
    moments = timeline([failure(at=f"{at_ms}ms", stop=f"{at_ms + length_ms}ms", **every)])
    assert [moment.breaks for moment in moments] == [True, False] * (len(moments) // 2)
    times = [moment.at_ns for moment in moments]
    assert times[0] == at_ms * 10**6
    assert times == sorted(times)
    assert times[-1] <= (at_ms + length_ms) * 10**6


def test_without_a_stop_it_stays_broken() -> None:
    assert [moment.breaks for moment in timeline([failure()])] == [True]


class Recorded:
    """A network and a server that write down what is done to them."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.routing = self

    def change(self, before: set[str], after: set[str]) -> None:
        self.calls.append(("routes", sorted(before), sorted(after)))

    def kill(self) -> int:
        self.calls.append(("kill",))
        return 1

    def revive(self) -> None:
        self.calls.append(("revive",))

    def kill_workers(self) -> int:
        self.calls.append(("workers",))
        return 2

    def wait_ready(self) -> None:
        self.calls.append(("ready",))


def test_the_breaker_does_each_thing_once_when_it_is_due() -> None:
    world = Recorded()
    breaker = Breaker(
        [
            failure(stop="4s"),
            failure(kind="server", link=None, at="3s", stop="4s"),
            failure(kind="worker", link=None, at="5s"),
        ],
        cast(Network, world),
        cast(ServerProcess, world),
    )
    assert breaker.next_ns == 2 * 10**9
    breaker.advance(10**9)
    assert world.calls == []
    breaker.advance(3_500_000_000)
    assert world.calls == [("routes", [], ["short"]), ("kill",)]
    breaker.advance(6 * 10**9)
    assert world.calls[2:] == [("routes", ["short"], []), ("revive",), ("workers",)]
    assert breaker.next_ns is None
    breaker.end()
    assert world.calls[-1] == ("ready",)
    assert [(event.kind, event.breaks) for event in breaker.events] == [
        ("link", True),
        ("server", True),
        ("link", False),
        ("server", False),
        ("worker", True),
    ]
    assert breaker.events[-1].what == "2 processes"


def test_paths_avoid_a_broken_link_and_addresses_stay() -> None:
    links = [("s", "a"), ("a", "b"), ("a", "c"), ("c", "b"), ("b", "d")]
    whole, broken = Plan(links), Plan(links, broken={1})
    assert [link.index for link, _ in whole.path("s", "d") or []] == [0, 1, 4]
    assert [link.index for link, _ in broken.path("s", "d") or []] == [0, 2, 3, 4]
    assert {node: whole.address(node) for node in "sd"} == {
        node: broken.address(node) for node in "sd"
    }
    assert whole.routes("a") != broken.routes("a")
    assert whole.routes("s") == broken.routes("s")


def test_a_link_without_a_detour_is_refused() -> None:
    check_detours(create(find("two-paths"), {"flows": 2}), {"short"})
    with pytest.raises(UserError, match="without bottleneck there is no path from s1 to d1"):
        check_detours(create(find("dumbbell"), {}), {"bottleneck"})
    with pytest.raises(UserError, match="no emulated link 'long'; there are bottleneck"):
        check_detours(create(find("dumbbell"), {}), {"long"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"kind": "link", "at": "1s"}, "name the link"),
        ({"kind": "server", "link": "short", "at": "1s"}, "name the link"),
        ({"kind": "server", "at": "2s", "stop": "1s"}, "stop: it must lie after at"),
        ({"kind": "worker", "at": "2s", "every": "1s"}, "every: at least 20ms, and with a stop"),
        ({"kind": "server", "at": "20s"}, "failures.0: it must begin and stop within duration"),
    ],
)
def test_mistakes_are_named(data: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_scenario({"failures": [data]}, "s.yaml")


def test_a_sysctl_that_the_kernel_lacks_is_named() -> None:
    scenario = parse_scenario({"rate": "4mbit", "sysctls": {"net.ipv4.no_such": 1}}, "s.yaml")
    with pytest.raises(UserError, match=r"sysctls\.net\.ipv4\.no_such: this kernel has none"):
        resolve(scenario)


def test_failures_are_scaled_with_their_scenario() -> None:
    given = {"kind": "link", "link": "short", "at": "2s", "stop": "4s", "every": "500ms"}
    scenario = parse_scenario({"topology": "two-paths", "failures": [given]}, "s.yaml")
    (found,) = scaled(scenario, 0.5).failures
    assert (found.at_ns, found.stop_ns, found.every_ns) == (10**9, 2 * 10**9, 250 * 10**6)
