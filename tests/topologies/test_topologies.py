import re
from pathlib import Path

import pytest

from topologies import TOPOLOGIES, Emulated, TopologyError, create, find
from topologies.base import Topology


def emulated(topology: Topology) -> dict[str, Emulated]:
    return {
        info["emulated"].name: info["emulated"]
        for _, _, info in topology.links(withInfo=True)
        if "emulated" in info
    }


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("flows", [1, 3, 64])
def test_built_in_ones_keep_to_the_protocol(name: str, flows: int) -> None:
    topology = create(find(name), {"flows": flows, "rtt_ns": 30_000_001})
    assert sum(pair.role == "measured" for pair in topology.pairs()) == flows
    assert any(link.bottleneck for link in emulated(topology).values())
    assert TOPOLOGIES[name].description


def test_they_do_not_know_the_testbed() -> None:
    for file in (Path(__file__).parents[2] / "topologies").glob("*.py"):
        assert not re.search(
            r"^\s*(from|import) (testbed|agent|policy|analysis|traces)\b", file.read_text(), re.M
        ), file


def test_dumbbell_gives_longer_flows_a_link_of_their_own() -> None:
    topology = create(find("dumbbell"), {"flows": 3, "flow_rtts": ["50ms", "20ms", "20ms"]})
    links = emulated(topology)
    assert links == {
        "bottleneck": Emulated("bottleneck", 10_000_000, 10_000_000, bottleneck=True),
        "access1": Emulated("access1", 15_000_000, 15_000_000),
    }


@pytest.mark.parametrize(("name", "count"), [("parking-lot", 3), ("chain", 7)])
def test_shares_of_the_round_trip_add_up_exactly(name: str, count: int) -> None:
    own = {"parking-lot": {"bottlenecks": count}, "chain": {"hops": count}}[name]
    links = emulated(create(find(name), {"rtt_ns": 10_000_001, **own})).values()
    assert len(links) == count
    assert sum(link.forward_delay_ns + link.reverse_delay_ns for link in links) == 10_000_001


def test_parking_lot_has_cross_traffic_on_every_hop() -> None:
    topology = create(find("parking-lot"), {"flows": 2, "bottlenecks": 3})
    cross = [(pair.sender, pair.receiver) for pair in topology.pairs() if pair.role == "cross"]
    assert cross == [("c1", "x1"), ("c2", "x2"), ("c3", "x3")]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "dumbbell",
            {"hops": 3},
            "Dumbbell: unknown option 'hops'; known: flows, rtt_ns, flow_rtts",
        ),
        ("dumbbell", {"flows": 0}, "Dumbbell: option flows = 0"),
        ("dumbbell", {"flow_rtts": ["40"]}, "'40' is not a duration; write it like 40ms"),
        (
            "dumbbell",
            {"flows": 2, "flow_rtts": ["40ms"]},
            "flow_rtts names 1 round trips for 2 flows",
        ),
        ("chain", {"hops": 2, "bottleneck": 3}, "bottleneck 3 lies behind the last of 2 hops"),
        ("parking-lot", {"bottlenecks": "many"}, "option bottlenecks = 'many'"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(TopologyError, match=re.escape(message)):
        create(find(name), options)


OWN = """
from topologies import Emulated, HostPair, Options, Topology

class OwnOptions(Options):
    spare: int = 0

class Own(Topology):
    options_model = OwnOptions
    description = "one"

    def build(self, options):
        a, b = self.addRouter("a"), self.addRouter("b")
        self.addLink(a, b, emulated=Emulated.halves("middle", options.rtt_ns, bottleneck=True))
        self.addLink(self.addHost("s"), a)
        self.addLink(b, self.addHost("d"))

    def pairs(self):
        return [HostPair("s", "d")]
"""


def own(tmp_path: Path, old: str = "", new: str = "") -> str:
    file = tmp_path / "own.py"
    assert old in OWN
    file.write_text(OWN.replace(old, new) if old else OWN)
    return f"{file}:Own"


def test_a_topology_of_the_users_own(tmp_path: Path) -> None:
    topology = create(find(own(tmp_path)), {"spare": 3, "rtt_ns": 10})
    assert emulated(topology)["middle"].forward_delay_ns == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("halves(", "halve(", r"own\.py:13: Own: AttributeError"),
        ("bottleneck=True", "bottleneck=False", "no link is a bottleneck"),
        ('self.addRouter("b")', 'self.addHost("b")', "must lie between two routers"),
        ('self.addRouter("b")', 'self.addSwitch("b")', "b is a switch"),
        ('addHost("s")', 'addHost("a-very-long-name")', "node name 'a-very-long-name'"),
        ('"middle"', '"a name too long"', "emulated link name 'a name too long'"),
        (
            'Emulated.halves("middle", options.rtt_ns, bottleneck=True)',
            '"10ms"',
            r"emulated='10ms' must be an Emulated",
        ),
        ('HostPair("s", "d")', 'HostPair("s", "b")', "names 'b', which is not a host"),
        (
            'HostPair("s", "d")',
            'HostPair("s", "d", "cross")',
            "must begin with flows = 1 measured pairs, it has 0",
        ),
        ("class Own(", "class Other(", "no class 'Own'; those that fit: Other"),
        ("class Own(Topology)", "class Own", "Own must derive from topologies.Topology"),
        ("description", "descrip tion", r"own\.py:9: SyntaxError"),
        ("class OwnOptions", "1 / 0\nclass OwnOptions", r"own\.py:4: ZeroDivisionError"),
    ],
)
def test_breaches_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        create(find(own(tmp_path, old, new)), {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dumbell", "unknown; known: dumbbell, parking-lot, chain, star, two-paths"),
        ("own.py", "name the class too, own.py:ClassName"),
        ("nowhere.py:Own", "nowhere.py: no such file"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(TopologyError, match=re.escape(message)):
        find(name)


def test_the_example_in_the_documentation(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "topologies.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "my_topology.py"
    file.write_text(example)
    topology = create(find(f"{file}:LongTail"), {"flows": 2, "extra_hops": 3})
    assert {"p0", "p1", "p2"} <= set(topology.nodes())
