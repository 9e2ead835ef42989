"""`python -m policy CONFIG.yaml`: run the policy server with the settings of a file
(policy.server.config.ServerConfig).

`python -m policy --compile`: import what it serves with and compile its loops, and keep both, so
that no start has to.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from policy.errors import PolicyError
from policy.protocol.latency import prefer_latency
from policy.server import models
from policy.server.config import ServerConfig, read

SERVED = (
    "policy.tasks.congestion.folding",  # the longest to compile
    "policy.tasks.congestion.aggregation",
    "policy.tasks.congestion.estimates",
    "policy.tasks.congestion.ordering",
    "policy.tasks.congestion.routes",
    "policy.scheduler.rules",
    "policy.tasks.congestion.competition",
)
"""The modules with compiled loops that every server runs."""


def run(config: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises PolicyError if a tier cannot be loaded or the address not be used.
    """
    prefer_latency()
    # The server's own compiled loops load while the processes of its models load theirs.
    loops = threading.Thread(target=_load_loops, daemon=True)
    loops.start()
    with models.loaded(config) as (config, tiers, note):
        if note:
            print(f"policy server: {note}", file=sys.stderr)
        loops.join()
        from policy.server.grpc_server import serve

        logging.basicConfig(
            level=config.log.upper(), format="%(asctime)s %(name)s %(message)s", stream=sys.stderr
        )
        asyncio.run(serve(config, tiers))


def _load_loops() -> None:
    for module in SERVED:
        _load(module)


def _load(module: str) -> None:
    importlib.import_module(module)


def main(arguments: list[str]) -> int:
    """Entry point; a user's mistake is one line on stderr and status 2."""
    if arguments == ["--compile"]:
        with ProcessPoolExecutor() as pool:
            list(pool.map(_load, (*SERVED, "policy.server.grpc_server", "policy.worker.process")))
        return 0
    if len(arguments) != 1:
        print("usage: python -m policy CONFIG.yaml", file=sys.stderr)
        return 2
    try:
        run(read(Path(arguments[0])))
    except PolicyError as error:
        print(f"policy server: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
