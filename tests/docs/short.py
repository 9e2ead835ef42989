"""Stands in for `tbtest` in the commands of the documentation, so that each takes seconds.

What a command means stays: its own arguments are parsed and obeyed, but for its length.
"""

from __future__ import annotations

import sys

from testbed.cli import main

# Arguments added to a command. Of an option given twice the last one counts.
_SHORT = {
    "run": ["--duration", "2s", "--repeats", "1"],
    "collect": ["--dry-run"],
    "train": ["--dry-run"],
}

_SHORT_ABR = {
    "collect": "--sessions 8 --horizon 2 --chunks 5",
    "train": "--rounds 1 --sessions 8 --steps 2 --batch 8 --horizon 2 --chunks 5",
}


def arguments(given: list[str]) -> list[str]:
    """The command's arguments, made short."""
    if given[:1] == ["league"] and not {"--pool", "--report-only", "--dry-run"} & set(given):
        return [*given, "--dry-run"]
    if given[:1] == ["run"] and {"--print-scenario", "--expect"} & set(given):
        return given
    if given[1:3] == ["--task", "abr"]:
        return [*given, *_SHORT_ABR[given[0]].split()]
    return [*given, *_SHORT.get(given[0], [])] if given else given


if __name__ == "__main__":
    sys.argv = ["tbtest", *arguments(sys.argv[1:])]
    main()
