"""A policy that decides in a process of its own, and gets another one when that has died."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from plugins import is_reference
from policy.api import PolicyContext
from policy.errors import PolicyError
from policy.guest import label
from policy.tasks import registry
from policy.worker.process import Loaded, WorkerDied, WorkerProcess

log = logging.getLogger("policy.worker")
RESTART_S = 5.0


class WorkerPolicy:
    """The policy `name` for the server. `decide` and `recover` are for one thread, `close` for
    any.

    The kernel ends a process with the thread that started it, so the one that constructs and the
    one that recovers are to live on. A new process knows nothing of the flows that the old one had.
    """

    def __init__(
        self,
        name: str,
        context: PolicyContext,
        rows: int,
        restart_s: float = RESTART_S,
        task: str = registry.DEFAULT,
    ) -> None:
        """Load it; returns when it is ready.

        Args:
            rows: samples that the process takes at a time; larger batches are done in slices.
            restart_s: after a start, this long there is no other.
            task: the task that it decides, by name or `path/to/file.py:Class`.

        Raises:
            PolicyError: the policy cannot be built, or the process died over it.
        """
        self.name = label(name) if is_reference(name) else name
        self._policy, self._task = name, task
        self._ended: list[int] = []
        self._context, self._rows, self._restart_s = context, rows, restart_s
        self._lock, self._closed = threading.Lock(), threading.Event()
        try:
            loaded = self._start()
        except (WorkerDied, OSError) as error:
            raise PolicyError(f"not loaded: {error}") from error
        self.max_batch, self.history = loaded.max_batch, loaded.history
        for trait, value in loaded.traits.items():
            setattr(self, trait, value)

    def _start(self) -> Loaded:
        """Start a process and wait until it is ready. Raises what WorkerProcess does."""
        self._started_s = time.monotonic()
        with self._lock:  # what is started is known to `close`
            if self._closed.is_set():
                raise WorkerDied("closed")
            self._process = WorkerProcess(self._policy, self._task, self._context, self._rows)
        return self._process.ready()

    def decide(self, batch: Any, now_ns: int) -> Any:
        """What the process decides. Raises NoDecision, or WorkerDied; then `recover` gets another
        process.
        """
        ended, self._ended = self._ended, []
        return self._process.decide(batch, now_ns, ended)

    def recover(self) -> None:
        """Return when there is a process to decide; it is started anew, as often as needed, if
        there is none.
        """
        while not self._process.alive:
            if self._closed.wait(max(self._started_s + self._restart_s - time.monotonic(), 0.0)):
                return
            log.warning("policy %s: starting another process", self.name)
            try:
                self._start()
            except (PolicyError, WorkerDied, OSError) as error:
                log.error("policy %s is not back: %s", self.name, error)

    def forget(self, flows: Sequence[int]) -> None:
        """Kept for the next `decide`, which runs in another thread."""
        self._ended = [*self._ended, *flows]

    def close(self) -> None:
        """End the process; there will be no other."""
        with self._lock:
            self._closed.set()
        self._process.end()
