"""Mininet's nodes and links under a scope.

What Mininet would do beyond a run's own namespaces is replaced: it raises the host's sysctls
(``fixLimits``), leaves shells behind that outlive a killed parent, and configures interfaces by
ifconfig, printing errors instead of raising.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from subprocess import Popen
from typing import Any

from mininet.link import Intf
from mininet.link import Link as MininetLink
from mininet.net import Mininet
from mininet.node import Node

from testbed.errors import UserError
from testbed.system.netns import NetNs
from testbed.system.pids import RUN_VARIABLE
from testbed.system.process import bound_argv
from testbed.system.rtnl import create_veth
from testbed.system.scope import Scope
from testbed.system.signals import unbroken
from topologies import Emulated, Topology

_DESCRIPTORS = 16384  # 64 flows hold about 1000: three a node, four a process


class NamespaceNode(Node):  # type: ignore[misc]  # Mininet has no types
    """A host or router: a shell under mnexec that keeps the namespace alive and dies with the
    run.
    """

    isSetup = True  # noqa: N815  # Mininet's own check wants ifconfig and ends the process; mnexec is checked below

    def __init__(self, name: str, run_id: str, **params: Any) -> None:
        self._run_id = run_id
        super().__init__(name, **params)
        self.netns = NetNs.of(self.pid)

    def _popen(self, cmd: list[str], **params: Any) -> Popen[bytes]:
        params["close_fds"] = True  # Mininet would hand every descriptor of ours to the shell
        params["env"] = {**(params.get("env") or os.environ), RUN_VARIABLE: self._run_id}
        return Popen(bound_argv(cmd), **params)

    def config(self, **_params: Any) -> dict[str, Any]:
        """Addresses and sysctls are set by the testbed."""
        return {}

    def terminate(self) -> None:
        """End the shell, at once and for certain."""
        if not self.shell:
            return
        with suppress(ProcessLookupError):
            os.killpg(
                self.shell.pid, signal.SIGKILL
            )  # mnexec -d made it a group; not reaped yet, so the id is its own
        for table in (Node.inToNode, Node.outToNode):
            for fd in [fd for fd, node in table.items() if node is self]:
                del table[fd]
        self.cleanup()
        self.netns.close()


class _Interface(Intf):  # type: ignore[misc]
    def config(self, **_params: Any) -> dict[str, Any]:
        return {}


class VethLink(MininetLink):  # type: ignore[misc]
    """A plain link: a veth pair made inside the two namespaces."""

    def makeIntfPair(  # noqa: N802
        self,
        intfname1: str,
        intfname2: str,
        addr1: str | None = None,
        addr2: str | None = None,
        node1: Any = None,
        node2: Any = None,
        deleteIntfs: bool = True,  # noqa: N803
    ) -> None:
        create_veth(node1.netns, intfname1, node2.netns, intfname2)


class EmulatedLink(MininetLink):  # type: ignore[misc]
    """A link that a backend opens, between interfaces ``<name>-a`` and ``<name>-b``."""

    def __init__(
        self,
        node1: Any,
        node2: Any,
        emulated: Emulated,
        open_link: Callable[[str, str], None],
        **params: Any,
    ):
        self._open = open_link
        names = {"intfName1": f"{emulated.name}-a", "intfName2": f"{emulated.name}-b"}
        super().__init__(node1, node2, **names, **params)

    def makeIntfPair(  # noqa: N802
        self,
        intfname1: str,
        intfname2: str,
        addr1: str | None = None,
        addr2: str | None = None,
        node1: Any = None,
        node2: Any = None,
        deleteIntfs: bool = True,  # noqa: N803
    ) -> None:
        self._open(intfname1, intfname2)


class ScopedMininet(Mininet):  # type: ignore[misc]
    """Builds the topology's nodes and links; each node belongs to the scope from its first
    moment.
    """

    def __init__(
        self,
        topology: Topology,
        scope: Scope,
        prepare: Callable[[NamespaceNode, bool], None],
        open_link: Callable[[int, Emulated, Any, Any, str, str], None],
    ) -> None:
        """``prepare(node, is_router)`` is called before a node has links; ``open_link(index,
        emulated, node1, node2, ifname1, ifname2)`` creates both interfaces of that link.
        """
        if shutil.which("mnexec") is None:
            raise UserError("mnexec is missing; install it with: apt-get install mininet")
        self._scope = scope
        self._prepare = prepare
        self._open_link = open_link
        super().__init__(
            topo=topology,
            host=NamespaceNode,
            link=VethLink,
            intf=_Interface,
            controller=None,
            build=False,
        )
        self.build()

    @classmethod
    def init(cls) -> None:
        """Mininet raises system-wide limits and sysctls here; ours to touch is this process's
        descriptor limit.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _DESCRIPTORS)), hard))

    @unbroken
    def addHost(self, name: str, cls: Any = None, router: bool = False, **params: Any) -> Any:  # noqa: N802
        """Starts the node and puts it under the scope."""
        node = super().addHost(name, cls=cls, run_id=self._scope.run_id, **params)
        self._scope.adopt(f"node {name}", node.pid, node.terminate)
        self._prepare(node, router)
        return node

    def addLink(  # noqa: N802
        self, node1: Any, node2: Any, emulated: Emulated | None = None, **params: Any
    ) -> Any:
        """Makes the veth pair, or lets the backend open the link."""
        if emulated is None:
            return super().addLink(node1, node2, **params)
        index = len(self.links)
        ends = [self[node] if isinstance(node, str) else node for node in (node1, node2)]

        def open_link(ifname1: str, ifname2: str) -> None:
            self._open_link(index, emulated, ends[0], ends[1], ifname1, ifname2)

        return super().addLink(
            *ends, cls=EmulatedLink, emulated=emulated, open_link=open_link, **params
        )
