"""The life of a traffic process: read its config, say ready, wait for the start, log, end.

An end stops at ``stop_ns``, on SIGTERM, or when its parent is gone (stdin closed before the start;
afterwards the kernel kills it, see Scope.spawn). Its logs are written in every one of these cases
but the last.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pydantic import ValidationError

from testbed.errors import UserError
from testbed.traffic.base import FlowSpec
from testbed.units import NS_PER_MS, NS_PER_S

_SLICE_NS = 100 * NS_PER_MS  # longest wait without a look at Terminated


@dataclass(frozen=True)
class Interval:
    """When the flow runs, CLOCK_MONOTONIC."""

    start_ns: int
    stop_ns: int


class Terminated:
    """Becomes true on SIGTERM. Loops ask it; nothing is interrupted."""

    def __init__(self) -> None:
        self._received = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._received = True

    def __bool__(self) -> bool:
        return self._received


def wait_for(fd: int, events: int, terminated: Terminated, until_ns: int | None = None) -> bool:
    """Whether ``fd`` is ready (poll(2) ``events``) before ``until_ns`` and before SIGTERM.

    Waits in slices: after a signal handler Python goes on with the system call it was in (PEP 475),
    so that a plain readline, accept or connect would outlive SIGTERM.
    """
    poller = select.poll()
    poller.register(fd, events)
    while not terminated:
        left_ns = _SLICE_NS if until_ns is None else until_ns - time.monotonic_ns()
        if poller.poll(max(0.0, min(left_ns, _SLICE_NS) / NS_PER_MS)):
            return True
        if left_ns <= 0:
            return False
    return False


def await_start(terminated: Terminated) -> Interval | None:
    """Say ready, read the interval from stdin and sleep until it begins. None: there is nothing to
    do any more.
    """
    print("ready", flush=True)
    line = b""
    while not line.endswith(b"\n"):
        if not wait_for(sys.stdin.fileno(), select.POLLIN, terminated):
            return None
        chunk = os.read(sys.stdin.fileno(), 4096)
        if not chunk:
            return None
        line += chunk
    message = json.loads(line)
    interval = Interval(int(message["start_ns"]), int(message["stop_ns"]))
    while not terminated:
        left_ns = interval.start_ns - time.monotonic_ns()
        if left_ns <= 0:
            return interval
        time.sleep(min(left_ns / NS_PER_S, 0.1))
    return None


def main(sender: Callable[[FlowSpec], None], receiver: Callable[[FlowSpec], None]) -> NoReturn:
    """Entry point of a kind's module. Exit status 2 and one line on stderr for what the user or
    system got wrong.
    """
    try:
        role, path = sys.argv[1:]
        spec = FlowSpec.model_validate_json(Path(path).read_text(encoding="utf-8"))
        {"sender": sender, "receiver": receiver}[role](spec)
    except (UserError, OSError, ValidationError, KeyError, ValueError) as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
