"""Stands in for `tbtest` in the commands of the documentation, so that each takes seconds.

What a command means stays: its own arguments are parsed and obeyed, but for its length.
"""

from __future__ import annotations

import sys

from testbed.cli import main

# Arguments added to a command. Of an option given twice the last one counts.
_SHORT = {
    "collect": ["--dry-run"],
    "train": ["--dry-run"],
}

_SHORT_ABR = {
    "collect": "--sessions 8 --horizon 2 --chunks 5",
    "train": "--rounds 1 --sessions 8 --steps 2 --batch 8 --horizon 2 --chunks 5",
}


def _run(given: list[str]) -> list[str]:
    """One repeat of two seconds. Where neither the command nor its scenario names controllers,
    one of the default's three: tests/testbed/run/ compares all of them.
    """
    named = {"--cc", "--abr", "--scheduler"} & set(given) or any(
        word.endswith(".yaml") for word in given
    )
    return ["--duration", "2s", "--repeats", "1", *([] if named else ["--cc", "cubic"])]


def arguments(given: list[str]) -> list[str]:
    """The command's arguments, made short."""
    if given[:1] == ["league"] and not {"--pool", "--report-only", "--dry-run"} & set(given):
        return [*given, "--dry-run"]
    if given[:1] == ["run"]:
        return given if {"--print-scenario", "--expect"} & set(given) else [*given, *_run(given)]
    if given[1:3] == ["--task", "abr"]:
        return [*given, *_SHORT_ABR[given[0]].split()]
    return [*given, *_SHORT.get(given[0], [])] if given else given


if __name__ == "__main__":
    sys.argv = ["tbtest", *arguments(sys.argv[1:])]
    main()
