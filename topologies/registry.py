"""Topologies by name, and the user's own by file and class."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from topologies.base import Topology
from topologies.chain import Chain
from topologies.dumbbell import Dumbbell
from topologies.errors import TopologyError, place
from topologies.parking_lot import ParkingLot
from topologies.star import Star

TOPOLOGIES: dict[str, type[Topology]] = {
    "dumbbell": Dumbbell,
    "parking-lot": ParkingLot,
    "chain": Chain,
    "star": Star,
}


def find(name: str) -> type[Topology]:
    """The topology of a registered name, or of ``path/to/file.py:ClassName``. Raises TopologyError."""
    if name in TOPOLOGIES:
        return TOPOLOGIES[name]
    file, colon, class_name = name.rpartition(":")
    if not colon:
        hint = (
            f"name the class too, {name}:ClassName"
            if name.endswith(".py")
            else "or path/to/file.py:ClassName"
        )
        raise TopologyError(f"topology {name!r} is unknown; known: {', '.join(TOPOLOGIES)}; {hint}")
    return _load(Path(file), class_name)


def _load(path: Path, class_name: str) -> type[Topology]:
    if not path.is_file():
        raise TopologyError(f"topology file {path}: no such file")
    module_name = f"tbtest_topology_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise TopologyError(f"topology file {path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pydantic look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise TopologyError(
            f"topology file {place(error, str(path))}: {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        own = [
            key
            for key, value in vars(module).items()
            if _is_topology(value) and value.__module__ == module_name
        ]
        raise TopologyError(
            f"topology file {path}: no class {class_name!r}; its topologies: {', '.join(own) or 'none'}"
        )
    if not _is_topology(found):
        raise TopologyError(f"topology file {path}: {class_name} must derive from topologies.Topology")
    assert isinstance(found, type)
    return found


def _is_topology(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Topology) and value is not Topology
