"""Run the tests that need a distribution's kernel inside one, in software emulation: `make
test-vm`.

    .venv/bin/python scripts/vm [--kernel NAME]... [--timeout S] [-- COMMAND...]

COMMAND runs instead of the tests, e.g. `.venv/bin/tbtest doctor`, as root, from the repository's
folder. The guest sees this machine's files, read-only: what it writes is gone with it, but for
/run/job, which is --results.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from machine import KERNELS, run

from testbed.errors import UserError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/vm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kernel", action="append", choices=KERNELS, help="one after another (6.1)"
    )
    parser.add_argument(
        "--timeout", type=float, default=600, help="seconds after which a guest is ended (600)"
    )
    parser.add_argument(
        "--results", type=Path, help="keep the guests' /run/job in this folder, junit.xml in it"
    )
    parser.add_argument("--pytest-args", default="", help="added to pytest's")
    parser.add_argument("command", nargs="*")
    arguments = parser.parse_args()
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8"}
    if not sys.stdout.isatty():
        environment["NO_COLOR"] = "1"  # the guest's console is always a terminal
    failed = False
    for name in arguments.kernel or ["6.1"]:
        argv = arguments.command or pytest_argv(KERNELS[name].marks, arguments.pytest_args.split())
        results = (arguments.results / name).absolute() if arguments.results else None
        outcome = run(KERNELS[name], argv, environment, results, arguments.timeout)
        print(f"test-vm: {name}: status {outcome.status} after {outcome.wall_s:.0f} s", flush=True)
        failed |= outcome.status != 0
    return int(failed)


def pytest_argv(marks: Sequence[str], extra: Sequence[str]) -> list[str]:
    """pytest with these marks. Only files that mention one are named: importing all tests would
    take minutes.
    """
    mentioned = re.compile(rf"\bmark\.({'|'.join(marks)})\b")
    files = [
        str(path)
        for path in sorted(Path("tests").rglob("test_*.py"))
        if mentioned.search(path.read_text())
    ]
    options = [
        "-v",
        "-m",
        " or ".join(marks),
        "-p",
        "no:cacheprovider",
        "-o",
        "timeout=300",
        "--durations=10",
    ]
    return [
        sys.executable,
        "-m",
        "pytest",
        *options,
        "-o",
        "junit_family=xunit1",
        "--junit-xml=/run/job/junit.xml",
        *extra,
        *files,
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"test-vm: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("test-vm: interrupted; the guest is gone", file=sys.stderr)
        sys.exit(130)
