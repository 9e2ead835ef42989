"""The worker process: loads one policy and decides for the batches that it finds in shared memory.

`python -m policy.worker NAME TASKS CONTEXT ROWS CHANNEL SERVER`, started by
`policy.worker.process`: the policy's name, its tasks as a JSON list, its PolicyContext as JSON, for
how many samples at most, the inherited socket's descriptor, the server's process id. For several
tasks it holds the weights of their checkpoint once. It lives until the server closes its end of the
channel, or dies.
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
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from policy.api import PolicyContext
from policy.errors import NoDecision
from policy.model.load import load_models
from policy.registry import create
from policy.tasks.registry import learned_task
from policy.worker.memory import SharedRows
from policy.worker.process import DONE, MESSAGE_BYTES, NONE, REQUEST, Loaded

NICENESS = 5
"""On a machine with few cores the light tier's answers come first; measured:
docs/reference/policy-server.md.
"""
_PR_SET_PDEATHSIG = 1


def main(name: str, tasks: str, context: str, rows: str, channel: str, server: str) -> None:
    """Serve one policy. What it raises ends the process, which the server notices."""
    # Ctrl-C and service managers signal the whole group: the server decides when it has drained.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    _die_with(int(server))
    os.nice(NICENESS)
    faulthandler.enable()
    os.set_inheritable(int(channel), False)
    with socket.socket(fileno=int(channel)) as server_end, suppress(ConnectionError):
        try:
            served = [learned_task(task) for task in json.loads(tasks)]
            policies = _policies(
                name, PolicyContext(**json.loads(context)), [task.name for task in served]
            )
        except (ValueError, ImportError) as error:
            server_end.send(json.dumps({"error": str(error)}).encode())
            return
        loaded = [
            Loaded(
                min(int(rows), getattr(policy, "max_batch", int(rows))),
                getattr(policy, "history", task.history),
                {name: getattr(policy, name, usual) for name, usual in task.traits.items()},
            )
            for policy, task in zip(policies, served, strict=True)
        ]
        memory = [os.memfd_create("tbtest-worker") for _ in served]
        shared = [
            SharedRows(file, one.max_batch, task.observation(one.history), task.action())
            for file, one, task in zip(memory, loaded, served, strict=True)
        ]
        gc.collect()
        gc.freeze()  # no batch waits for a collection of what loading made
        told = {"tasks": [asdict(one) for one in loaded]}
        socket.send_fds(server_end, [json.dumps(told).encode()], memory)
        for file in memory:
            os.close(file)
        while request := server_end.recv(MESSAGE_BYTES):
            which, count, now_ns = REQUEST.unpack_from(request)
            policy, its_rows = policies[which], shared[which]
            if len(request) > REQUEST.size:
                policy.forget(np.frombuffer(request, np.int64, offset=REQUEST.size).tolist())
            try:
                if count:
                    its_rows.answer(policy.decide(its_rows.batch(count), now_ns))
            except NoDecision:
                server_end.send(NONE)
            else:
                server_end.send(DONE)


def _policies(name: str, context: PolicyContext, tasks: Sequence[str]) -> list[Any]:
    """The policy for each task, of several those of one checkpoint. Raises PolicyError,
    ImportError.
    """
    if len(tasks) == 1:
        return [create(name, context, tasks[0])]
    assert context.model is not None
    return list(load_models(Path(context.model), tasks, context.device))


def _die_with(server: int) -> None:
    """Be killed when the server is, even in the middle of a batch."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:  # it died before that
        sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
