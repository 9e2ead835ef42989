"""Topologies by name, and the user's own by file and class."""

from __future__ import annotations

from plugins import is_reference, load_class
from topologies.base import Topology
from topologies.chain import Chain
from topologies.dumbbell import Dumbbell
from topologies.errors import TopologyError
from topologies.parking_lot import ParkingLot
from topologies.star import Star
from topologies.two_paths import TwoPaths

TOPOLOGIES: dict[str, type[Topology]] = {
    "dumbbell": Dumbbell,
    "parking-lot": ParkingLot,
    "chain": Chain,
    "star": Star,
    "two-paths": TwoPaths,
}


def find(name: str) -> type[Topology]:
    """The topology of a registered name, or of ``path/to/file.py:ClassName``, which runs the file.

    Raises TopologyError.
    """
    if name in TOPOLOGIES:
        return TOPOLOGIES[name]
    if is_reference(name):
        return load_class(name, Topology, "topology", TopologyError)
    raise TopologyError(
        f"topology {name!r} is unknown; known: {', '.join(TOPOLOGIES)}; or "
        "path/to/file.py:ClassName"
    )
