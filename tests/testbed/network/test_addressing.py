import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from testbed.network.addressing import Plan, PlannedLink
from testbed.system.rtnl import Route

# s1 - left - right - d1, with a second sender on left: links 0 to 3
DUMBBELL = [("left", "right"), ("s1", "left"), ("right", "d1"), ("s2", "left")]


def test_every_link_is_a_subnet_of_its_own() -> None:
    plan = Plan(DUMBBELL)
    assert [link.subnet for link in plan.links] == [
        "10.0.0.0/30",
        "10.0.1.0/30",
        "10.0.2.0/30",
        "10.0.3.0/30",
    ]
    assert plan.address("s1") == "10.0.1.1"
    assert plan.address("d1") == "10.0.2.2"
    assert plan.address("nowhere") is None


def test_routes_by_hand() -> None:
    plan = Plan(DUMBBELL)
    assert plan.routes("s1") == [Route("default", "10.0.1.2")]
    assert plan.routes("left") == [Route("default", "10.0.0.2")]  # s1 and s2 are its neighbours
    assert plan.routes("right") == [Route("default", "10.0.0.1")]


def test_path_and_its_directions() -> None:
    plan = Plan(DUMBBELL)
    assert [(link.index, forward) for link, forward in plan.path("s1", "d1") or []] == [
        (1, True),
        (0, True),
        (2, True),
    ]
    assert [(link.index, forward) for link, forward in plan.path("d1", "s2") or []] == [
        (2, False),
        (0, False),
        (3, False),
    ]


def test_islands_have_no_path() -> None:
    plan = Plan([("a", "b"), ("c", "d")])
    assert plan.path("a", "d") is None
    assert plan.path("a", "stranger") is None
    assert plan.routes("a") == []


@st.composite
def connected(draw: st.DrawFn) -> list[tuple[str, str]]:
    """A random tree with some links more, parallel ones among them."""
    count = draw(st.integers(2, 9))
    links = [(f"n{node}", f"n{draw(st.integers(0, node - 1))}") for node in range(1, count)]
    for _ in range(draw(st.integers(0, 4))):
        a, b = draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True))
        links.append((f"n{a}", f"n{b}"))
    return links


@given(connected())
def test_following_the_routes_reaches_every_address_by_the_planned_path(
    links: list[tuple[str, str]],
) -> None:
    plan = Plan(links)
    nodes = sorted({node for link in links for node in link})
    owner = {link.address(node): (node, link) for link in plan.links for node in (link.a, link.b)}
    for source in nodes:
        for destination in nodes:
            address = plan.address(destination)
            assert address is not None
            node, hops = source, 0
            while node != destination and hops <= len(nodes):
                on_link = [
                    link
                    for link in plan.links
                    if node in (link.a, link.b) and owner[address][1] is link
                ]
                if on_link:
                    node = on_link[0].other(node)
                else:
                    fitting = [route for route in plan.routes(node) if _covers(route, address)]
                    node = owner[
                        min(fitting, key=lambda route: route.destination == "default").gateway
                    ][0]
                hops += 1
            assert node == destination
            # To the nearest end of the destination's own link: as short as the planned path, or
            # shorter by no hop.
            assert hops <= len(plan.path(source, destination) or []) + 1


def _covers(route: Route, address: str) -> bool:
    if route.destination == "default":
        return True
    return ipaddress.ip_address(address) in ipaddress.ip_network(route.destination)


@given(st.integers(0, (1 << 16) - 1))
def test_an_ipv6_address_ends_with_the_ipv4_one(index: int) -> None:
    old, new = PlannedLink(index, "a", "b"), PlannedLink(index, "a", "b", ipv6=True)
    for node in "ab":
        short, long = (
            ipaddress.ip_address(old.address(node)),
            ipaddress.ip_address(new.address(node)),
        )
        assert (short.version, long.version) == (4, 6)
        assert int(long) & 0xFFFFFFFF == int(short)
        assert ipaddress.ip_interface(new.interface(node)).network == ipaddress.ip_network(
            new.subnet
        )
        assert ipaddress.ip_interface(old.interface(node)).network == ipaddress.ip_network(
            old.subnet
        )


def test_routes_of_ipv6_by_hand() -> None:
    plan = Plan(DUMBBELL, ipv6=True)
    assert plan.routes("s1") == [Route("default", "fd74:6274:6573:7400::a00:102")]
    assert plan.links[1].subnet == "fd74:6274:6573:7400::a00:100/126"
