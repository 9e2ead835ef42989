"""Controllers that live in user space: ``policy[:tier]`` and, for experience, ``observe:<kernel
algorithm>``.

Both use the agent on the sender's side. ``policy`` asks a policy server, ours unless the scenario
names one; ``policy:oracle``, which is told the trace on this host's clock, always asks one of its
own. ``observe`` only records, with the kernel's own algorithm in control of the datapath. In
virtual time the agent decides in its own process, as late as answers came where that was measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agent import spawn
from agent.config import AgentConfig
from policy.objective import BALANCED, format_objective
from policy.registry import DEFAULT_LIGHT, takes_objective
from policy.registry import check as check_policy
from policy.tasks.congestion.policies.oracle import OracleSettings
from settings import first_mistake
from testbed.controllers import latency
from testbed.controllers.asked import Asked
from testbed.controllers.registry import APC, ORACLE, parse
from testbed.controllers.server import AGENT_KEYS, ServerProcess, SharedServer
from testbed.errors import UserError
from testbed.system.clock import in_virtual_time
from testbed.system.netns import NetNs
from testbed.system.scope import Scope

if TYPE_CHECKING:
    from testbed.network import Network
    from testbed.traffic.planned import PlannedFlow


class PolicyController:
    """``policy`` (APC) or ``policy:<tier>``, with ``@<objective>`` behind it or not."""

    def __init__(
        self, name: str, scenario: Asked, server: SharedServer, objective: float | None = None
    ) -> None:
        """name: of the policy, `apc` among them; objective: what the controller's name says."""
        self.name = "policy" if name == APC else f"policy:{name}"
        self._tier = name
        self._options = dict(scenario.policy)
        if objective is not None:
            self._options["objective"] = objective
            self.name += f"@{format_objective(objective)}"
        self._server = server
        self._address, self._inline = "unix:/nowhere", Path()
        self._agent: spawn.RunningAgent | None = None

    def check(self) -> None:
        """See CongestionController."""
        if self._tier != APC:
            check_policy(self._tier)
        config = self._agent_config("tbcheck", Path(), ())
        self._server.check()
        if config.objective != BALANCED and self._server.external is None:
            self._check_objective()

    def _check_objective(self) -> None:
        """Raises UserError where a policy that answers does not know objectives."""
        models = self._options.get("models") or {}
        answering = [self._tier]
        if self._tier == APC:
            answering = [str(self._options.get("light", DEFAULT_LIGHT))]
            difficult = self._options.get("difficult", "auto")
            answering += [] if difficult is None else ["llm" if difficult == "auto" else difficult]
        for name in answering:
            if not takes_objective(name, models.get(name)):
                raise UserError(
                    f"cc {self.name}: {name} was not trained for objectives; ask for "
                    "policy:persistence, or train a model with --set model.encoder.objective=true "
                    "and name it: --set policy.models.mlp=FOLDER"
                )

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """See CongestionController."""
        self._prepare(self._server, run, run_dir)

    def _prepare(self, server: ServerProcess | SharedServer, run: Scope, run_dir: Path) -> None:
        if in_virtual_time():
            self._inline = server.settings_file(run, run_dir)
        else:
            self._address = server.address(run, run_dir)

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """See CongestionController."""
        cookies = tuple(netns.cookie for netns in senders)
        self._agent = spawn.start(cell, self._agent_config(spawn.new_cc_name(), log_dir, cookies))
        return self._agent.cc_name

    def begin(self, start_ns: int, network: Network, flows: Sequence[PlannedFlow]) -> None:
        """Policies see what senders see."""

    def check_running(self) -> None:
        """See CongestionController. Without its server a policy is the agent's fallback, without
        its agent the kernel's algorithm.
        """
        self._server.check_running()
        if self._agent is not None:
            self._agent.process.check_runs()

    def detach(self, log_dir: Path) -> dict[str, Any] | None:
        """See CongestionController."""
        return _end(self._agent, log_dir)

    def _agent_config(self, cc_name: str, log_dir: Path, cookies: tuple[int, ...]) -> AgentConfig:
        options = {key: value for key, value in self._options.items() if key in AGENT_KEYS}
        if in_virtual_time():
            answering = {"tier": "module", "inline": self._inline}
            answering |= {"latency_ns": latency.measured()}
        else:
            answering = {"server": self._server.external or self._address}
        return _agent_config(
            self.name,
            {
                **answering,
                **options,
                "cc_name": cc_name,
                "log_dir": log_dir,
                "policy": self._tier,
                "netns_cookies": cookies or None,
            },
        )


class OracleController(PolicyController):
    """``policy:oracle``: its server is this run's own and is told each cell's trace through a file.

    Of the scenario's ``policy`` it takes the agent's keys and ``oracle``
    (`policy.tasks.congestion.policies.oracle.OracleSettings`).
    """

    def __init__(self, scenario: Asked) -> None:
        super().__init__(ORACLE, scenario, SharedServer(scenario))
        self._foresight = Path()
        self._told: ServerProcess | None = None

    def check(self) -> None:
        """See CongestionController."""
        self._settings()
        self._agent_config("tbcheck", Path(), ())

    def prepare(self, run: Scope, run_dir: Path) -> None:
        """See CongestionController."""
        self._foresight = run.tmp / "foresight.json"
        settings = {"tiers": [ORACLE], "difficult": None, "models": {ORACLE: str(self._foresight)}}
        self._told = ServerProcess("oracle-server", settings)
        self._prepare(self._told, run, run_dir)

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

    def check_running(self) -> None:
        """See CongestionController."""
        super().check_running()
        if self._told is not None:
            self._told.check_running()

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

    def check_running(self) -> None:
        """See CongestionController."""
        if self._agent is not None:
            self._agent.process.check_runs()

    def attach(self, cell: Scope, senders: Sequence[NetNs], log_dir: Path) -> str:
        """See CongestionController."""
        config = {
            "cc_name": spawn.new_cc_name(),
            "log_dir": log_dir,
            "mode": "observe",
            "kernel": self._algorithm,
            "tier": "module" if in_virtual_time() else "ebpf",
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
    names: Sequence[str], scenario: Asked, server: SharedServer
) -> dict[str, PolicyController | ObservedController]:
    """Those of ``names`` that live in user space; all policies of a run share one server."""
    found: dict[str, PolicyController | ObservedController] = {}
    for name in names:
        controller = parse(name)
        if controller.kind == "observe":
            found[name] = ObservedController(name, controller.rest)
        elif controller == parse(f"policy:{ORACLE}"):
            found[name] = OracleController(scenario)
        elif controller.kind == "policy":
            found[name] = PolicyController(controller.rest, scenario, server, controller.objective)
    return found
