"""Starts an agent as a process of a run, for the testbed."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent.config import AgentConfig
from agent.ebpf import bpffs, module
from agent.log import finish
from policy.python import python_command

READY_S = 30.0


class Process(Protocol):
    """What is needed of `testbed.system.process.Process`."""

    pid: int

    def read_line(self, timeout_s: float) -> str:
        """Next line of its standard output."""

    def check_runs(self) -> None:
        """Raises what `read_line` raises if it has ended."""

    def stop(self, timeout_s: float = 5.0) -> int:
        """SIGTERM, then SIGKILL."""


class Scope(Protocol):
    """What is needed of `testbed.system.scope.Scope`."""

    tmp: Path

    def record(self, kind: str, value: str) -> None:
        """Note a path that `tbtest clean` must remove."""

    def callback(self, fn: Callable[..., Any], *args: Any) -> None:
        """Call when the scope ends."""

    def spawn(self, argv: Sequence[str], *, name: str, log: Path | None = None) -> Process:
        """Start a process that ends with the scope."""


@dataclass(frozen=True)
class RunningAgent:
    """cc_name: for TCP_CONGESTION; tier: "ebpf", "module" or "portable"; kernel: the
    kernel's algorithm underneath.
    """

    cc_name: str
    tier: str
    kernel: str
    process: Process
    config: AgentConfig
    config_path: Path


def new_cc_name() -> str:
    """A congestion control name of its own for each agent: names are global to the host."""
    return f"tb{secrets.token_hex(3)}"


def start(scope: Scope, config: AgentConfig) -> RunningAgent:
    """Write the config, start the agent and wait until flows may use `cc_name`.

    When the scope ends, the agent is told to end (it flushes its logs and unregisters); whatever a
    killed one left behind, pins and half-written logs, is put right then. Raises what
    `Process.read_line` raises if it does not start.
    """
    path = scope.tmp / f"agent-{config.cc_name}.json"
    path.write_text(config.model_dump_json(indent=2) + "\n")
    config.log_dir.mkdir(parents=True, exist_ok=True)
    scope.record("pin", str(config.pins))
    scope.callback(_put_right, config)
    return _run(scope, config, path, "agent")


def restart(scope: Scope, dead: RunningAgent) -> RunningAgent:
    """Start an agent anew, after it died, with the same config: it takes over the live flows."""
    return _run(scope, dead.config, dead.config_path, "agent-again")


def _run(scope: Scope, config: AgentConfig, path: Path, name: str) -> RunningAgent:
    log = config.log_dir / f"{name}.log"
    process = scope.spawn(python_command("agent", path), name=name, log=log)
    _, cc_name, tier, kernel = process.read_line(READY_S).split()
    return RunningAgent(cc_name, tier, kernel, process, config, path)


def _put_right(config: AgentConfig) -> None:
    bpffs.clean(config.pins)
    module.clean(config.cc_name)
    finish(config.log_dir)
