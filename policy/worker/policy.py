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
    """The policy `name` for the server. Of several tasks' policies this is the first; `part` gives
    the others, which the same process decides, one batch after another.

    The kernel ends a process with the thread that started it, so the one that constructs and those
    that recover are to live on. A new process knows nothing of the flows that the old one had.
    """

    def __init__(
        self,
        name: str,
        context: PolicyContext,
        rows: int,
        restart_s: float = RESTART_S,
        task: str = registry.DEFAULT,
        others: Sequence[str] = (),
    ) -> None:
        """Load it; returns when it is ready.

        Args:
            rows: samples that the process takes at a time; larger batches are done in slices.
            restart_s: after a start, this long there is no other.
            task: the task that it decides, by name or `path/to/file.py:Class`.
            others: further tasks of the context's checkpoint, by name.

        Raises:
            PolicyError: the policy cannot be built, or the process died over it.
        """
        self.name = label(name) if is_reference(name) else name
        self._policy, self._tasks = name, (task, *others)
        self._ended: list[int] = []
        self._context, self._rows, self._restart_s = context, rows, restart_s
        self._lock, self._closed = threading.Lock(), threading.Event()
        # One request at a time; who recovers is not disturbed.
        self._asking = threading.RLock()
        try:
            loaded = self._start()[0]
        except (WorkerDied, OSError) as error:
            raise PolicyError(f"not loaded: {error}") from error
        self.max_batch, self.history = loaded.max_batch, loaded.history
        for trait, value in loaded.traits.items():
            setattr(self, trait, value)

    def _start(self) -> list[Loaded]:
        """Start a process and wait until it is ready. Raises what WorkerProcess does."""
        self._started_s = time.monotonic()
        with self._lock:  # what is started is known to `close`
            if self._closed.is_set():
                raise WorkerDied("closed")
            self._process = WorkerProcess(self._policy, self._tasks, self._context, self._rows)
        return self._process.ready()

    def decide(self, batch: Any, now_ns: int) -> Any:
        """What the process decides. Raises NoDecision, or WorkerDied; then `recover` gets another
        process.
        """
        ended, self._ended = self._ended, []
        with self._asking:
            return self._process.decide(batch, now_ns, ended)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the process decides, by name."""
        return self._tasks

    def part(self, task: str) -> WorkerPart:
        """Another task's policy in the same process."""
        return WorkerPart(self, self._tasks.index(task))

    def decide_other(self, which: int, batch: Any, now_ns: int) -> Any:
        """As `decide`, for another task; where the process has died another one is asked. From
        any thread.
        """
        with self._asking:
            try:
                return self._process.decide(batch, now_ns, which=which)
            except WorkerDied:
                self.recover()
                return self._process.decide(batch, now_ns, which=which)

    def recover(self) -> None:
        """Return when there is a process to decide; it is started anew, as often as needed, if
        there is none.
        """
        with self._asking:
            while not self._process.alive:
                pause_s = max(self._started_s + self._restart_s - time.monotonic(), 0.0)
                if self._closed.wait(pause_s):
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


class WorkerPart:
    """One further task of a worker, as its model's policy is asked: `decide` alone."""

    def __init__(self, worker: WorkerPolicy, which: int) -> None:
        self._worker, self._which = worker, which

    def decide(self, batch: Any, now_ns: int) -> Any:
        """Actions of the task. Raises NoDecision, or WorkerDied while the server ends."""
        return self._worker.decide_other(self._which, batch, now_ns)
