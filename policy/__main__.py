"""`python -m policy CONFIG.yaml`: run the policy server with the settings of a file
(policy.server.config.ServerConfig).
"""

from __future__ import annotations

import sys
from pathlib import Path

from policy.errors import PolicyError
from policy.protocol.latency import prefer_latency
from policy.server.config import ServerConfig, read


def run(config: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    import asyncio
    import logging

    prefer_latency()
    from policy.server.grpc_server import serve

    logging.basicConfig(
        level=config.log.upper(), format="%(asctime)s %(name)s %(message)s", stream=sys.stderr
    )
    asyncio.run(serve(config))


def main(arguments: list[str]) -> int:
    """Entry point; a user's mistake is one line on stderr and status 2."""
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
