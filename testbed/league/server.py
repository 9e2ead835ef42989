"""One policy server per host for all cells of a league: loading the language model takes longer
than a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policy.python import python_command
from policy.server import config as server_config
from testbed.controllers.registry import of_policies, served
from testbed.errors import UserError
from testbed.system.process import Process
from testbed.system.scope import Scope

_READY_S = 600.0  # several models, on a processor


def server_settings(schemes: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Settings of a server with every tier that the schemes ask for; None if none of them needs a
    shared one.
    """
    asked = of_policies(schemes)
    if not asked:
        return None
    return served(asked) | dict(settings)


def start_server(scope: Scope, settings: Mapping[str, Any], log: Path) -> tuple[Process, str]:
    """Start a policy server that ends with the scope; returns it and its address. Raises
    UserError.
    """
    listen = f"unix:{scope.tmp}/policy.sock"
    config = server_config.build({**settings, "listen": listen}, "server")
    path = scope.tmp / "policy.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    process = scope.spawn(python_command("policy", path), name="policy-server", log=log)
    ready = process.read_line(_READY_S)
    if not ready.startswith("ready "):
        raise UserError(f"policy server: it said {ready!r} instead of ready; see {log}")
    return process, listen
