"""Policy servers: of one run, for its agents, players and clusters, or shared by many runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.files import INPUTS
from policy.python import python_command
from policy.server import config as server_config
from testbed.controllers.asked import Asked
from testbed.controllers.registry import ORACLE, of_policies, served
from testbed.errors import UserError
from testbed.system.pids import ProcessId, kill, processes_of_run
from testbed.system.process import Process
from testbed.system.scope import Scope

_READY_S = 600.0  # several models, on a processor
AGENT_KEYS = frozenset(
    {
        "tier",
        "kernel",
        "window_ns",
        "deadline_ns",
        "wake",
        "tls_ca",
        "token_file",
        "latency_ns",
        "objective",
    }
)
"""Keys of the scenario's `policy` that are the agent's."""


def shared_settings(
    names: Sequence[str], settings: Mapping[str, Any], abr: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Settings of a server with every policy that these controllers, and players (``abr``), ask
    for; None if none of them needs a shared one.
    """
    asked = of_policies(names)
    if not asked and not abr:
        return None
    players = {"abr": list(dict.fromkeys(abr))} if abr else {}
    return served(asked) | players | dict(settings)


def start_server(
    scope: Scope,
    settings: Mapping[str, Any],
    log: Path,
    *,
    name: str = "policy-server",
    key: str = "server",
) -> tuple[Process, str]:
    """Start a policy server that ends with the scope; returns it and its address.

    key: where the settings come from, for messages. Raises UserError, or PolicyError for settings
    that the server refuses.
    """
    listen = f"unix:{scope.tmp}/{name}.sock"
    _write(scope, {**settings, "listen": listen}, name, key)
    process = _spawn(scope, name, log)
    _wait_ready(process)
    return process, listen


def _config_path(scope: Scope, name: str) -> Path:
    return scope.tmp / f"{name}.json"


def _spawn(scope: Scope, name: str, log: Path) -> Process:
    return scope.spawn(python_command("policy", _config_path(scope, name)), name=name, log=log)


def _wait_ready(process: Process) -> None:
    ready = process.read_line(_READY_S)
    if not ready.startswith("ready "):
        raise UserError(f"{process.name}: it said {ready!r} instead of ready; see {process.log}")


def _write(scope: Scope, settings: Mapping[str, Any], name: str, key: str) -> Path:
    """A file with the settings. Raises PolicyError."""
    path = _config_path(scope, name)
    path.write_text(server_config.build({**settings}, key).model_dump_json(), encoding="utf-8")
    return path


class ServerProcess:
    """A policy server of the run's own, started when it is first asked for."""

    def __init__(self, name: str, settings: Mapping[str, Any], *, log_inputs: bool = False) -> None:
        """log_inputs: log decisions with their inputs in the run's folder."""
        self._name, self._settings, self._log_inputs = name, dict(settings), log_inputs
        self._address: str | None = None
        self._process: Process | None = None
        self._run: Scope | None = None
        self._killed = self._starting = False

    def check(self) -> None:
        """Raises PolicyError naming a wrong setting."""
        server_config.build(self._settings, "policy")

    def address(self, run: Scope, run_dir: Path) -> str:
        """Start it if it does not run yet."""
        if self._address is None:
            log = run_dir / f"{self._name}.log"
            self._process, self._address = start_server(
                run, self._settings_in(run_dir), log, name=self._name, key="policy"
            )
            self._run = run
        return self._address

    def settings_file(self, run: Scope, run_dir: Path) -> Path:
        """Its settings, for an agent that decides by them in its own process."""
        return _write(run, self._settings_in(run_dir), self._name, "policy")

    def _settings_in(self, run_dir: Path) -> dict[str, Any]:
        logged = {"log_inputs": str((run_dir / INPUTS).resolve())} if self._log_inputs else {}
        return {**self._settings, **logged}

    def check_running(self) -> None:
        """Raises ProcessFailed if it was started and has ended, but by `kill`."""
        if self._process is not None and not self._killed:
            self._process.check_runs()

    def kill(self) -> int:
        """SIGKILL it; it stays dead until `revive`. Returns how many processes were killed."""
        if self._process is None or self._killed:
            return 0
        self._killed = True
        found = ProcessId.of(self._process.pid)
        return int(found is not None and kill(found))

    def kill_workers(self) -> int:
        """SIGKILL the processes in which its models run, which it starts anew. Returns their
        number.
        """
        if self._run is None or self._killed:
            return 0
        workers = [each for each in processes_of_run(self._run.run_id) if _is_worker(each)]
        return sum(kill(worker) for worker in workers)

    def revive(self) -> None:
        """Start it again after `kill`, at the same address; does not wait until it is ready."""
        if self._killed and self._run is not None and self._process is not None:
            self._process = _spawn(self._run, self._name, self._process.log)
            self._killed, self._starting = False, True

    def wait_ready(self) -> None:
        """Revive it if it is dead, and wait until it answers. Raises UserError."""
        self.revive()
        if self._starting and self._process is not None:
            _wait_ready(self._process)
            self._starting = False


def _is_worker(process: ProcessId) -> bool:
    try:
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"policy.worker" in command.split(b"\0")


class SharedServer:
    """What the agents, players and clusters of a run ask: the server that the scenario names, or
    one of the run's own.
    """

    def __init__(self, scenario: Asked, asked: Mapping[str, Sequence[str]] | None = None) -> None:
        """``asked``: the policies that traffic itself asks for, by the server's settings (abr,
        schedulers).
        """
        self.external = scenario.policy_server
        options = {
            key: value
            for key, value in scenario.policy.items()
            if key not in AGENT_KEYS and key != ORACLE
        }
        by_traffic = {key: list(dict.fromkeys(names)) for key, names in (asked or {}).items()}
        settings = served(of_policies(scenario.cc)) | by_traffic | options
        if scenario.log_inputs and self.external is not None:
            raise UserError(
                "log_inputs: the server of policy_server logs in a folder of its own: "
                "`tbtest serve --log-inputs DIR`"
            )
        self._own = ServerProcess("policy-server", settings, log_inputs=scenario.log_inputs)
        self._asked = bool(asked)

    def check(self) -> None:
        """Raises UserError or PolicyError if it cannot be started, or not be asked by traffic."""
        if self.external is None:
            self._own.check()
        elif self._asked and not self.external.startswith("unix:"):
            raise UserError(
                f"policy_server {self.external}: traffic lives in namespaces of its own and "
                "reaches unix sockets alone; give unix:/path, or leave it out"
            )

    def address(self, run: Scope, run_dir: Path) -> str:
        """Where it answers. Starts the run's own if it does not run yet."""
        return self.external or self._own.address(run, run_dir)

    def settings_file(self, run: Scope, run_dir: Path) -> Path:
        """Settings of the run's own, for an agent that decides in its own process."""
        return self._own.settings_file(run, run_dir)

    def check_running(self) -> None:
        """Raises ProcessFailed if it is the run's own, was started and has ended."""
        self._own.check_running()

    @property
    def own(self) -> ServerProcess:
        """The run's own, to be broken by the failures of a scenario."""
        return self._own
