"""The worker process: loads one tier and decides for the batches that it finds in shared memory.

`python -m policy.worker NAME CONTEXT ROWS CHANNEL SERVER`, started by `policy.worker.process`: the
tier's name, its TierContext as JSON, for how many flows at most, the inherited socket's descriptor,
the server's process id. It lives until the server closes its end of the channel, or dies.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict

from policy.api import TierContext, create
from policy.tasks.congestion.fields import HISTORY
from policy.worker.memory import SharedRows
from policy.worker.process import DONE, REQUEST, Loaded

NICENESS = 5
"""On a machine with few cores the light tier's answers come first; measured:
docs/reference/policy-server.md.
"""
_PR_SET_PDEATHSIG = 1


def main(name: str, context: str, rows: str, channel: str, server: str) -> None:
    """Serve one tier. What it raises ends the process, which the server notices."""
    # Ctrl-C and service managers signal the whole group: the server decides when it has drained.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    _die_with(int(server))
    os.nice(NICENESS)
    faulthandler.enable()
    os.set_inheritable(int(channel), False)
    with socket.socket(fileno=int(channel)) as server_end, suppress(ConnectionError):
        try:
            tier = create(name, TierContext(**json.loads(context)))
        except (ValueError, ImportError) as error:
            server_end.send(json.dumps({"error": str(error)}).encode())
            return
        loaded = Loaded(
            min(int(rows), getattr(tier, "max_batch", int(rows))),
            getattr(tier, "history", HISTORY),
            getattr(tier, "yields", False),
        )
        memory = os.memfd_create("tbtest-worker")
        shared = SharedRows(memory, loaded.max_batch, loaded.history)
        gc.collect()
        gc.freeze()  # no batch waits for a collection of what loading made
        socket.send_fds(server_end, [json.dumps(asdict(loaded)).encode()], [memory])
        os.close(memory)
        while request := server_end.recv(REQUEST.size):
            count, now_ns = REQUEST.unpack(request)
            shared.answer(tier.decide(shared.batch(count), now_ns))
            server_end.send(DONE)


def _die_with(server: int) -> None:
    """Be killed when the server is, even in the middle of a batch."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:  # it died before that
        sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
