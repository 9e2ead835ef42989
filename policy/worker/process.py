"""One worker process as the server sees it: started, asked, ended.

Its batches travel through shared memory; a socket pair, whose messages keep their bounds, says that
one is there.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from policy.api import PolicyContext
from policy.errors import NoDecision, PolicyError
from policy.python import python_command
from policy.tasks.registry import learned_task
from policy.worker.memory import SharedRows

REQUEST = struct.Struct("=IIq")
"""From the server: which of the worker's tasks, samples in the first of its rows, and the server's
monotonic clock in ns. The numbers of flows that have ended since the last request follow, int64
each.
"""
DONE, NONE = b"\1", b"\0"
"""From the worker: the actions are there; the policy gave none."""
_ENDED = 4096
"""Ended flows in one request; a request without rows carries more."""
_END_S = 2.0
MESSAGE_BYTES = 65536


class WorkerDied(RuntimeError):  # noqa: N818
    """The process has ended; the message says how."""


@dataclass(frozen=True)
class Loaded:
    """What a worker says of its policy of a task when it is ready: its attributes; max_batch is
    also the number of rows shared.
    """

    max_batch: int
    history: int
    traits: dict[str, Any]


class WorkerProcess:
    """A process of one policy, or of one checkpoint's policies for several tasks. All but `end`
    from one thread at a time.
    """

    def __init__(self, name: str, tasks: Sequence[str], context: PolicyContext, rows: int) -> None:
        """Start it; rows: samples that one request may hold at most. Raises OSError.

        The kernel kills it when the calling thread ends.
        """
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._tasks = [learned_task(task) for task in tasks]
        settings = json.dumps(asdict(context) | {"model": context.model and str(context.model)})
        arguments = (name, json.dumps(list(tasks)), settings, rows, theirs.fileno(), os.getpid())
        with theirs:
            self._process = subprocess.Popen(
                python_command("policy.worker", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=2,  # the server's own is for `ready`
                pass_fds=(theirs.fileno(),),
                env=with_huge_pages(os.environ),
            )
        self.pid = self._process.pid

    def ready(self) -> list[Loaded]:
        """Wait until the policy is loaded, for each task.

        Raises PolicyError with what the policy's construction raised, WorkerDied or OSError; then
        the process has ended.
        """
        message, memory = self._receive()
        try:
            told = json.loads(message)
            if "error" in told:
                raise PolicyError(told["error"])
            loaded = [Loaded(**one) for one in told["tasks"]]
            self._shared = [
                SharedRows(rows, one.max_batch, task.observation(one.history), task.action())
                for rows, one, task in zip(memory, loaded, self._tasks, strict=True)
            ]
        except Exception:
            self.end()
            raise
        finally:
            for descriptor in memory:
                os.close(descriptor)
        return loaded

    def decide(self, batch: Any, now_ns: int, ended: Sequence[int] = (), which: int = 0) -> Any:
        """What the policy decides; the interpreter is free meanwhile. ended: flows that the policy
        is to forget before; which: of the tasks. Raises WorkerDied, NoDecision, or ValueError
        (another shape).
        """
        action, shared = self._tasks[which].action(), self._shared[which]
        decided = action.empty(len(batch))
        while len(ended) > _ENDED:
            self._ask(which, 0, now_ns, ended[:_ENDED])
            ended = ended[_ENDED:]
        for start in range(0, len(batch), shared.rows):
            stop = min(start + shared.rows, len(batch))
            shared.write(batch, start, stop)
            self._ask(which, stop - start, now_ns, ended)
            ended = ()
            shared.take(decided, start, stop - start)
        return action.batch(decided)

    def _ask(self, which: int, count: int, now_ns: int, ended: Sequence[int]) -> None:
        request = REQUEST.pack(which, count, now_ns) + np.array(ended, np.int64).tobytes()
        with suppress(OSError):  # it has died, and is about to be found so
            self._channel.send(request)
        message, _ = self._receive()
        if message != DONE:
            raise NoDecision("its policy gave none")

    def _receive(self) -> tuple[bytes, list[int]]:
        """A message, never empty, and the file descriptors that came with it."""
        try:
            message, descriptors, _, _ = socket.recv_fds(
                self._channel, MESSAGE_BYTES, len(self._tasks)
            )
        except OSError:
            message, descriptors = b"", []
        if not message:
            self.end()
            raise WorkerDied(f"its process {_how(self._process.returncode)}")
        return message, descriptors

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it, by force where a batch takes too long; who waits for an answer gets WorkerDied.
        From any thread.
        """
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._channel.close()


def with_huge_pages(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which glibc asks for huge pages for what it allocates.

    A model's weights are read from memory for every answer; in pages of 4 kB the processor spends a
    third of that time on their addresses (docs/results/engine.md). Settings of the user's own stay.
    """
    tunables = environment.get("GLIBC_TUNABLES", "")
    if "glibc.malloc.hugetlb" not in tunables:
        tunables = ":".join(filter(None, (tunables, "glibc.malloc.hugetlb=1")))
    return {**environment, "GLIBC_TUNABLES": tunables}


def _how(status: int) -> str:
    """An exit status in words."""
    return (
        f"was killed by signal {-status} ({signal.strsignal(-status)})"
        if status < 0
        else f"ended with status {status}"
    )
