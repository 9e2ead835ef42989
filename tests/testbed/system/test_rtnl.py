import pytest

from testbed.errors import UserError
from testbed.system.netns import NetNs
from testbed.system.offload import offloads_off, read_offloads
from testbed.system.rtnl import Route, add_routes, configure, create_veth, describe_interfaces
from testbed.system.sysctl import read_sysctls, write_sysctls

pytestmark = pytest.mark.root


@pytest.fixture
def two():
    with NetNs.create() as a, NetNs.create() as b:
        yield a, b


def test_veth_lies_in_the_two_namespaces_and_queues_nothing(two: tuple[NetNs, NetNs]) -> None:
    a, b = two
    create_veth(a, "left", b, "right", txqueuelen=500)
    configure(a, {"left": "10.0.0.1/30"})
    configure(b, {"right": "10.0.0.2/30"})
    state = {"mtu_bytes": 1500, "txqueuelen": 500, "qdisc": "noqueue"}
    assert describe_interfaces(a) == {"left": state}
    assert describe_interfaces(b) == {"right": state}


def test_the_same_names_in_other_namespaces_do_not_collide(two: tuple[NetNs, NetNs]) -> None:
    a, b = two
    create_veth(a, "left", b, "right")
    with NetNs.create() as c, NetNs.create() as d:
        create_veth(c, "left", d, "right")
        assert list(describe_interfaces(c)) == ["left"]


def test_errors_name_the_interface(two: tuple[NetNs, NetNs]) -> None:
    a, b = two
    create_veth(a, "left", b, "right")
    with pytest.raises(UserError, match=r"veth pair left, other.*exists"):
        create_veth(a, "left", b, "other")
    with pytest.raises(UserError, match="no interface nowhere"):
        configure(a, {"nowhere": "10.0.0.1/30"})
    with pytest.raises(UserError, match=r"10\.9\.0\.0/24 via 10\.8\.0\.1"):
        add_routes(a, [Route("10.9.0.0/24", "10.8.0.1")])


def test_offloads_are_off_and_read_back(two: tuple[NetNs, NetNs]) -> None:
    a, b = two
    create_veth(a, "left", b, "right")
    assert read_offloads(a, "left")["tx-tcp-segmentation"]
    state = offloads_off(a, "left")
    assert state == read_offloads(a, "left")
    assert state
    assert not any(state.values())


def test_sysctls_are_of_the_namespace_and_read_back(two: tuple[NetNs, NetNs]) -> None:
    a, b = two
    wanted = {"net.ipv4.ip_forward": "1", "net.ipv4.tcp_rmem": "4096 131072 67108864"}
    before = read_sysctls(b, wanted)
    assert write_sysctls(a, wanted) == wanted
    assert read_sysctls(a, wanted) == wanted
    assert read_sysctls(b, wanted) == before != wanted


def test_unknown_sysctls_are_left_out_refused_ones_raise(two: tuple[NetNs, NetNs]) -> None:
    a, _ = two
    assert write_sysctls(a, {"net.ipv4.no_such_thing": "1"}) == {}
    with pytest.raises(UserError, match=r"net\.ipv4\.tcp_rmem = much"):
        write_sysctls(a, {"net.ipv4.tcp_rmem": "much"})
