"""A wire between agent and server on which packets can vanish without a trace: TCP with TLS between
two namespaces.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl import ndmsg

from testbed.system import rtnl
from testbed.system.netns import NetNs
from testbed.system.process import Process
from testbed.system.scope import Scope

AGENT, SERVER = "10.77.0.1", "10.77.0.2"
_NOBODY = "02:00:00:00:00:99"


class Route:
    """``agent`` and ``server`` are namespaces, joined by a veth pair for as long as ``scope``
    lasts.
    """

    def __init__(self, scope: Scope) -> None:
        self.agent, self.server = scope.enter(NetNs.create()), scope.enter(NetNs.create())
        rtnl.create_veth(self.agent, "wire", self.server, "wire")
        rtnl.configure(self.agent, {"wire": f"{AGENT}/24"})
        rtnl.configure(self.server, {"wire": f"{SERVER}/24"})
        self.certificate, self.key, self.token = (
            scope.tmp / name for name in ("cert", "key", "token")
        )
        make_certificate(self.certificate, self.key, f"IP:{SERVER}")
        self.token.write_text(secrets.token_hex(16), encoding="utf-8")

    def blackhole(self) -> None:
        """From now on both ends send to a hardware address that nobody has: no reset, no ICMP, no
        local error.
        """
        for netns, peer in ((self.agent, SERVER), (self.server, AGENT)):
            with netns.inside(), IPRoute() as ip:
                (index,) = ip.link_lookup(ifname="wire")
                ip.neigh(
                    "replace",
                    dst=peer,
                    lladdr=_NOBODY,
                    ifindex=index,
                    state=ndmsg.states["permanent"],
                )

    def mend(self) -> None:
        """Packets arrive again."""
        for netns, peer in ((self.agent, SERVER), (self.server, AGENT)):
            with netns.inside(), IPRoute() as ip:
                (index,) = ip.link_lookup(ifname="wire")
                ip.neigh("del", dst=peer, ifindex=index)


def make_certificate(certificate: Path, key: Path, name: str) -> None:
    """A self-signed one for two days. name: as in subjectAltName, "IP:10.0.0.1" or
    "DNS:localhost".
    """
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-days",
            "2",
            "-subj",
            "/CN=tbtest",
            "-addext",
            f"subjectAltName={name}",
        ],
        check=True,
        capture_output=True,
    )


class Inside:
    """A scope (``agent.spawn.Scope``) whose processes are in a namespace."""

    def __init__(self, scope: Scope, netns: NetNs) -> None:
        self.tmp = scope.tmp
        self._scope, self._netns = scope, netns

    def record(self, kind: str, value: str) -> None:
        """See Scope."""
        self._scope.record(kind, value)

    def callback(self, fn: Callable[..., Any], *args: Any) -> None:
        """See Scope."""
        self._scope.callback(fn, *args)

    def spawn(self, argv: Sequence[str], *, name: str, log: Path | None = None) -> Process:
        """See Scope."""
        return self._scope.spawn(argv, name=name, log=log, netns=self._netns)
