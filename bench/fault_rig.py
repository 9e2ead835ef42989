"""A ``policy:gcc`` controller whose server, agent and wire can be broken mid-flow, and the faults
that do it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agent import spawn
from agent.config import AgentConfig
from bench.fault_route import SERVER, Inside, Route
from bench.fault_wire import Relay
from testbed.links.base import LinkSample
from testbed.network import Network
from testbed.system.netns import NetNs
from testbed.system.process import Process
from testbed.system.scope import Scope
from testbed.traffic.planned import PlannedFlow

FAULT_S = 1.5
BLACKHOLE_S = 5.0
_READY_S = 30.0
HOUR_AHEAD = ("unshare", "-T", "--monotonic", "3600")


@dataclass(frozen=True)
class Step:
    """What is done to the rig, ``after_s`` the cell's start or, for a repair, the fault; ``text``:
    for the log.
    """

    after_s: float
    text: str
    act: Callable[[Rig], None]


@dataclass(frozen=True)
class Fault:
    """The fault and, where it does not end by itself, its repair. ``agent``: settings that make it
    possible.
    """

    name: str
    begin: Step
    end: Step | None = None
    agent: Mapping[str, Any] = field(default_factory=dict)
    server_prefix: Sequence[str] = ()
    relayed: bool = False  # through a Relay
    routed: bool = False  # over a Route
    abused: bool = False


class Rig:
    """See ``testbed.controllers.base.CongestionController``. ``step`` goes to ``run_cells`` as
    ``on_sample``.
    """

    name = "policy:gcc"

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.server: Process
        self.agent: spawn.RunningAgent
        self.abuse: dict[str, Any] = {}  # what became of the abuser's streams
        self.metrics = ""  # of the server, as scraped at the end of the fault
        self._run: Scope
        self._cell: Scope
        self._run_dir = Path()
        self._metrics_address = ""
        self._address = ""
        self._relay: Relay | None = None
        self._route: Route | None = None
        self._abuser: Process
        self._marks: list[tuple[int, str, str]] = []

    def check(self) -> None:
        """Nothing a user chose."""

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """Start the server."""
        self._run, self._run_dir = run, run_dir
        if self.fault.routed:
            self._route = Route(run)
        self.start_server()

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """Start the agent, and what the fault needs beside it."""
        self._cell = cell
        address = self._address
        if self.fault.relayed:
            self._relay = Relay(cell.tmp / "wire.sock", self._socket)
            self._relay.mend()
            cell.callback(self._relay.cut)
            address = f"unix:{cell.tmp / 'wire.sock'}"
        settings: dict[str, Any] = {"tier": "ebpf", **self.fault.agent}
        if self._route:
            settings |= {"tls_ca": self._route.certificate, "token_file": self._route.token}
        config = AgentConfig(
            cc_name=spawn.new_cc_name(),
            log_dir=log_dir,
            server=address,
            policy="gcc",
            netns_cookies=tuple(netns.cookie for netns in senders),
            **settings,
        )
        where: spawn.Scope = Inside(cell, self._route.agent) if self._route else cell
        self.agent = spawn.start(where, config)
        if self.fault.abused:
            argv = [sys.executable, "-m", "bench.fault_client", f"unix:{self._socket}"]
            self._abuser = cell.spawn(argv, name="abuser")
            self._abuser.read_line(_READY_S)
        return self.agent.cc_name

    def check_running(self) -> None:
        """Server and agent end because the fault ends them."""

    def begin(self, start_ns: int, network: Network, flows: Sequence[PlannedFlow]) -> None:
        """Nothing depends on the plan."""

    def detach(self, log_dir: Path) -> dict[str, Any]:
        """Let the agent write its logs, and add the fault to its events."""
        self.agent.process.stop()
        path = log_dir / "events.parquet"
        events = pq.read_table(path)
        at_ns, names, details = zip(*self._marks, strict=True)
        marks = pa.table([at_ns, [-1] * len(at_ns), names, details], schema=events.schema)
        pq.write_table(pa.concat_tables([events, marks]).sort_by("at_ns"), path)
        summary: dict[str, Any] = json.loads((log_dir / "agent.json").read_text(encoding="utf-8"))
        return summary

    def step(self, sample: LinkSample, elapsed_ns: int) -> None:
        """Do what is due. A fault is timed before it is made, its repair once it is done."""
        now_ns = time.monotonic_ns()
        if not self._marks and elapsed_ns >= self.fault.begin.after_s * 1e9:
            self._marks.append((now_ns, "fault", self.fault.begin.text))
            self.fault.begin.act(self)
        elif (
            (end := self.fault.end)
            and len(self._marks) == 1
            and now_ns >= self._marks[0][0] + end.after_s * 1e9
        ):
            end.act(self)
            self._marks.append((time.monotonic_ns(), "repaired", end.text))

    @property
    def _socket(self) -> Path:
        return self._run.tmp / "policy.sock"

    def start_server(self) -> None:
        """Start the server, again after it died, and wait until it serves."""
        settings: dict[str, Any] = {
            "listen": f"unix:{self._socket}",
            "difficult": None,
            "metrics": 0,
            "limits": {"message_bytes": 1 << 20},
        }
        if self._route:
            settings |= {
                "listen": f"{SERVER}:0",
                "tls_cert": str(self._route.certificate),
                "tls_key": str(self._route.key),
                "token_file": str(self._route.token),
            }
        path = self._run.tmp / "policy.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        argv = [*self.fault.server_prefix, sys.executable, "-m", "policy", str(path)]
        log = self._run_dir / "policy-server.log"
        netns = self._route.server if self._route else None
        self.server = self._run.spawn(argv, name="policy-server", log=log, netns=netns)
        self._address = self.server.read_line(_READY_S).removeprefix("ready ")
        self._metrics_address = self.server.read_line(_READY_S).removeprefix("metrics ")

    def kill_server(self) -> None:
        """SIGKILL, and wait for its end."""
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.wait(_READY_S)

    def signal_server(self, signum: int) -> None:
        """Stop it or let it go on."""
        os.kill(self.server.pid, signum)

    def kill_agent(self) -> None:
        """SIGKILL."""
        os.kill(self.agent.process.pid, signal.SIGKILL)

    def restart_agent(self) -> None:
        """A new one with the same config."""
        self.agent = spawn.restart(self._cell, self.agent)

    def signal_agent(self, signum: int) -> None:
        """Stop it or let it go on."""
        os.kill(self.agent.process.pid, signum)

    def cut_wire(self) -> None:
        """Connections between agent and server end, and none can be made."""
        assert self._relay
        self._relay.cut()

    def mend_wire(self) -> None:
        """Connections can be made again."""
        assert self._relay
        self._relay.mend()

    def blackhole(self) -> None:
        """Packets between agent and server vanish."""
        assert self._route
        self._route.blackhole()

    def unblackhole(self) -> None:
        """They arrive again."""
        assert self._route
        self._route.mend()

    def begin_abuse(self) -> None:
        """Let the abuser loose."""
        self._abuser.write_line("go")

    def end_abuse(self) -> None:
        """What became of it."""
        self.abuse = json.loads(self._abuser.read_line(_READY_S))
        self.scrape()

    def scrape(self) -> None:
        """Read the server's metrics: it lives."""
        with urllib.request.urlopen(self._metrics_address, timeout=_READY_S) as page:  # noqa: S310
            self.metrics = page.read().decode()


def _stop_server(rig: Rig) -> None:
    rig.signal_server(signal.SIGSTOP)


def _continue_server(rig: Rig) -> None:
    rig.signal_server(signal.SIGCONT)


def _stop_agent(rig: Rig) -> None:
    rig.signal_agent(signal.SIGSTOP)


def _continue_agent(rig: Rig) -> None:
    rig.signal_agent(signal.SIGCONT)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "server-killed",
            Step(FAULT_S, "server killed", Rig.kill_server),
            Step(0.5, "server started again", Rig.start_server),
        ),
        Fault(
            "server-frozen",
            Step(FAULT_S, "server stopped for 1 s", _stop_server),
            Step(1.0, "server continued", _continue_server),
        ),
        Fault(
            "agent-killed",
            Step(FAULT_S, "agent killed", Rig.kill_agent),
            Step(0.5, "agent started again", Rig.restart_agent),
        ),
        Fault(
            "ring-overrun",
            Step(FAULT_S, "agent stopped for 1 s, ring of 64 records", _stop_agent),
            Step(1.0, "agent continued", _continue_agent),
            agent={"ring_bytes": 8192},
        ),
        Fault(
            "wire-cut",
            Step(FAULT_S, "connections between agent and server cut", Rig.cut_wire),
            Step(1.0, "connections possible again", Rig.mend_wire),
            relayed=True,
        ),
        Fault(
            "wire-blackholed",
            Step(FAULT_S, "packets between agent and server vanish (TCP with TLS)", Rig.blackhole),
            Step(BLACKHOLE_S, "packets arrive again", Rig.unblackhole),
            routed=True,
        ),
        Fault(
            "garbage",
            Step(FAULT_S, "another client sends garbage", Rig.begin_abuse),
            Step(1.0, "the other client has ended", Rig.end_abuse),
            abused=True,
        ),
        Fault(
            "server-clock",
            Step(FAULT_S, "server's monotonic clock an hour ahead, all the time", Rig.scrape),
            server_prefix=HOUR_AHEAD,
        ),
    )
}
