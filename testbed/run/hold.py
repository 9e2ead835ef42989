"""Keeping a cell after its traffic, for a look around with ``tbtest shell``."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable

from testbed.system.signals import Interrupted, forgive

_SLICE_S = 0.2


def hold(say: Callable[[str], None]) -> None:
    """Wait for Enter on a terminal, or for SIGINT; another SIGINT interrupts the run as ever.
    ``say`` takes the one line that tells so.
    """
    terminal = sys.stdin is not None and sys.stdin.isatty()
    say(
        "held: `tbtest shell` opens its hosts; "
        + ("Enter or Ctrl-C" if terminal else "SIGINT")
        + " ends it"
    )
    try:
        while True:
            if not terminal:
                time.sleep(_SLICE_S)
            elif select.select([sys.stdin], [], [], _SLICE_S)[0]:
                sys.stdin.readline()
                return
    except Interrupted:
        forgive()
