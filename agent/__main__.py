"""`python -m agent CONFIG.json` runs an agent; `python -m agent clean PIN_DIR` removes a dead one's
pins.
"""

import sys
from pathlib import Path

from agent.config import read
from agent.ebpf import bpffs
from agent.errors import AgentError
from policy.protocol.latency import prefer_latency


def _run(config: Path) -> None:
    prefer_latency()
    from agent.process import run

    run(read(config))


def main(arguments: list[str]) -> int:
    """Exit status: 0, or 2 with one line on stderr for what the user can put right."""
    try:
        match arguments:
            case ["clean", folder]:
                bpffs.clean(Path(folder))
            case [config]:
                _run(Path(config))
            case _:
                return _fail("usage: python -m agent CONFIG.json | clean PIN_DIR")
    except AgentError as error:
        return _fail(str(error))
    return 0


def _fail(message: str) -> int:
    print(f"agent: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
