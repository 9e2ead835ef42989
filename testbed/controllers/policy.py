"""Controllers that live in user space: ``policy[:tier]`` and, for experience, ``observe:<kernel
algorithm>``.

Both use the agent on the sender's side. ``policy`` asks a policy server, ours unless the scenario
names one; ``policy:oracle``, which is told the trace on this host's clock, always asks one of its
own. ``observe`` only records, with the kernel's own algorithm in control of the datapath.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agent import spawn
from agent.config import AgentConfig
from policy.python import python_command
from policy.registry import check as check_policy
from policy.server import config as server_config
from policy.tasks.congestion.policies.oracle import OracleSettings
from settings import first_mistake
from testbed.controllers.registry import APC, ORACLE, of_policies, parse, served
from testbed.errors import UserError
from testbed.scenario import Scenario
from testbed.system.netns import NetNs
from testbed.system.process import Process
from testbed.system.scope import Scope

if TYPE_CHECKING:
    from testbed.network import Network
    from testbed.run.flows import PlannedFlow

_SERVER_READY_S = 120.0  # loading the LLM takes half a minute the first time
_AGENT_KEYS = frozenset(
    {"tier", "kernel", "window_ns", "deadline_ns", "wake", "tls_ca", "token_file"}
)


class _ServerProcess:
    """A policy server of the run's own: one for all controllers of the run that ask for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._address: str | None = None
        self._process: Process | None = None

    def address(self, run: Scope, run_dir: Path, settings: dict[str, Any]) -> str:
        """Start it if it does not run yet."""
        if self._address is None:
            listen = f"unix:{run.tmp}/{self._name}.sock"
            config = server_config.build({**settings, "listen": listen}, "policy")
            path = run.tmp / f"{self._name}.json"
            path.write_text(config.model_dump_json(), encoding="utf-8")
            log = run_dir / f"{self._name}.log"
            self._process = run.spawn(python_command("policy", path), name=self._name, log=log)
            ready = self._process.read_line(_SERVER_READY_S)
            if not ready.startswith("ready "):
                raise UserError(f"{self._name}: it said {ready!r} instead of ready; see {log}")
            self._address = listen
        return self._address


class PolicyController:
    """``policy`` (APC) or ``policy:<tier>``."""

    def __init__(
        self, tier: str, tiers: Sequence[str], scenario: Scenario, server: _ServerProcess
    ) -> None:
        """``tiers``: what all controllers of the run ask of the server."""
        self.name = "policy" if tier == APC else f"policy:{tier}"
        self._tier = tier
        self._tiers = tiers
        self._external = scenario.policy_server
        self._options = dict(scenario.policy)
        self._server = server
        self._address = ""
        self._agent: spawn.RunningAgent | None = None

    def check(self) -> None:
        """See CongestionController."""
        if self._tier != APC:
            check_policy(self._tier)
        self._agent_config("tbcheck", Path(), self._external or "unix:/nowhere", ())
        if self._external is None:
            server_config.build(self._server_settings(), "policy")

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """See CongestionController."""
        self._address = self._external or self._server.address(
            run, run_dir, self._server_settings()
        )

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """See CongestionController."""
        cookies = tuple(netns.cookie for netns in senders)
        self._agent = spawn.start(
            cell, self._agent_config(spawn.new_cc_name(), log_dir, self._address, cookies)
        )
        return self._agent.cc_name

    def begin(self, start_ns: int, network: Network, flows: Sequence[PlannedFlow]) -> None:
        """Policies see what senders see."""

    def detach(self, log_dir: Path) -> dict[str, Any] | None:
        """See CongestionController."""
        return _end(self._agent, log_dir)

    def _agent_config(
        self, cc_name: str, log_dir: Path, server: str, cookies: tuple[int, ...]
    ) -> AgentConfig:
        options = {key: value for key, value in self._options.items() if key in _AGENT_KEYS}
        return _agent_config(
            self.name,
            {
                **options,
                "cc_name": cc_name,
                "log_dir": log_dir,
                "server": server,
                "policy": self._tier,
                "netns_cookies": cookies or None,
            },
        )

    def _server_settings(self) -> dict[str, Any]:
        """The scenario's ``policy`` without the agent's keys, and the models that the run's
        controllers ask for.
        """
        settings = {
            key: value
            for key, value in self._options.items()
            if key not in _AGENT_KEYS and key != ORACLE
        }
        return served(self._tiers) | settings


class OracleController(PolicyController):
    """``policy:oracle``: its server is this run's own and is told each cell's trace through a file.

    Of the scenario's ``policy`` it takes the agent's keys and ``oracle``
    (`policy.tasks.congestion.policies.oracle.OracleSettings`).
    """

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(ORACLE, (), scenario, _ServerProcess("oracle-server"))
        self._external = None
        self._foresight = Path()

    def check(self) -> None:
        """See CongestionController."""
        self._settings()
        super().check()

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """See CongestionController."""
        self._foresight = run.tmp / "foresight.json"
        super().prepare(run, run_dir)

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """See CongestionController."""
        self._foresight.unlink(missing_ok=True)  # the last cell's
        return super().attach(cell, senders, log_dir)

    def begin(self, start_ns: int, network: Network, flows: Sequence[PlannedFlow]) -> None:
        """See CongestionController."""
        from testbed.controllers.oracle import foresight  # late: a run's parts import this module

        told = foresight(start_ns, network, flows, self._settings())
        draft = self._foresight.with_suffix(".new")
        draft.write_text(told.model_dump_json(), encoding="utf-8")
        draft.replace(self._foresight)

    def _server_settings(self) -> dict[str, Any]:
        return {"tiers": [ORACLE], "difficult": None, "models": {ORACLE: str(self._foresight)}}

    def _settings(self) -> OracleSettings:
        try:
            return OracleSettings.model_validate(self._options.get(ORACLE, {}))
        except ValidationError as error:
            mistake = first_mistake(error, OracleSettings, prefix=f"policy.{ORACLE}")
            raise UserError(f"cc {self.name}: {mistake}") from error


class ObservedController:
    """``observe:<algorithm>``: the kernel's own algorithm under the datapath, every ACK
    recorded.
    """

    def __init__(self, name: str, algorithm: str) -> None:
        self.name = name
        self._algorithm = algorithm
        self._agent: spawn.RunningAgent | None = None

    def check(self) -> None:
        """The datapath is asked for when the agent starts."""

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """Nothing to start."""

    def begin(self, start_ns: int, network: Network, flows: Sequence[PlannedFlow]) -> None:
        """The kernel's algorithm looks for itself."""

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """See CongestionController."""
        config = {
            "cc_name": spawn.new_cc_name(),
            "log_dir": log_dir,
            "mode": "observe",
            "kernel": self._algorithm,
            "tier": "ebpf",
            "netns_cookies": tuple(netns.cookie for netns in senders),
        }
        self._agent = spawn.start(cell, _agent_config(self.name, config))
        return self._agent.cc_name

    def detach(self, log_dir: Path) -> dict[str, Any] | None:
        """See CongestionController."""
        return _end(self._agent, log_dir)


def _agent_config(name: str, settings: dict[str, Any]) -> AgentConfig:
    try:
        return AgentConfig.model_validate(settings)
    except ValidationError as error:
        raise UserError(f"cc {name}: {first_mistake(error)}") from error


def _end(agent: spawn.RunningAgent | None, log_dir: Path) -> dict[str, Any] | None:
    """Let the agent write its logs, and return its own summary."""
    if agent is None:
        return None
    agent.process.stop()
    path = log_dir / "agent.json"
    if not path.exists():
        return {"tier": agent.tier, "kernel": agent.kernel}
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return summary


def controllers(
    names: Sequence[str], scenario: Scenario
) -> dict[str, PolicyController | ObservedController]:
    """Those of ``names`` that live in user space; all policies of a run share one server."""
    server = _ServerProcess("policy-server")
    asked = of_policies(names)
    found: dict[str, PolicyController | ObservedController] = {}
    for name in names:
        controller = parse(name)
        if controller.kind == "observe":
            found[name] = ObservedController(name, controller.rest)
        elif controller == parse(f"policy:{ORACLE}"):
            found[name] = OracleController(scenario)
        elif controller.kind == "policy":
            found[name] = PolicyController(controller.rest, asked, scenario, server)
    return found
