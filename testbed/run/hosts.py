"""The namespaces of a running cell, written down so that ``tbtest shell`` finds them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import UserError
from testbed.network import Network
from testbed.system.netns import NetNs
from testbed.system.state import STATE_DIR, RunState, read_states

_FILE = "hosts.json"


@dataclass(frozen=True)
class RunningNode:
    """A host or router of a live run. ``netns`` can be opened while the cell lasts."""

    run_id: str
    cell: str
    name: str
    address: str | None  # None: a router
    netns: Path

    def open(self) -> NetNs:
        """Its namespace. Raises UserError if the cell has ended."""
        try:
            return NetNs(os.open(self.netns, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise UserError(f"{self.name}: its cell {self.cell} has just ended") from error


def write_nodes(network: Network, tmp: Path) -> None:
    """Write ``hosts.json`` into the cell's temporary folder; it goes with the folder."""
    namespaces = {host.name: (host.netns, host.address) for host in network.hosts.values()}
    routers = {name: (netns, None) for name, netns in network.routers.items()}
    nodes = {
        name: {"netns": f"/proc/{os.getpid()}/fd/{netns.fd}", "address": address}
        for name, (netns, address) in {**namespaces, **routers}.items()
    }
    draft = tmp / f"{_FILE}.tmp"
    draft.write_text(json.dumps(nodes), encoding="utf-8")
    draft.replace(tmp / _FILE)


def running_nodes(folder: Path = STATE_DIR) -> list[RunningNode]:
    """Every node of every live run. Raises UserError without root."""
    states, _ = read_states(folder)
    return [node for state in states if state.process.alive() for node in _of(state)]


def _of(state: RunState) -> list[RunningNode]:
    found = []
    for recorded in state.paths:
        if recorded.kind != "tmp":
            continue
        for path in sorted(Path(recorded.path).glob(f"*/{_FILE}")):
            try:
                nodes = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:  # the cell has ended meanwhile
                continue
            cell = path.parent.name.rpartition("-")[0]
            found += [
                RunningNode(state.run_id, cell, name, node["address"], Path(node["netns"]))
                for name, node in nodes.items()
            ]
    return found
