"""A user's own scheduler, by `path/to/file.py:Class`; once it fails, the rules schedule."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins import load_class, place
from policy.api import FlowBatch
from policy.errors import PolicyError
from policy.scheduler.base import Scheduler, SchedulerContext

log = logging.getLogger("policy.scheduler")
MAX_HISTORY = 20
"""Windows that are kept of a flow."""


class GuestScheduler:
    """See Scheduler."""

    def __init__(self, reference: str, context: SchedulerContext, rules: Scheduler) -> None:
        """rules: what schedules once the user's own has failed. Raises PolicyError in one line."""
        made: type[Any] = load_class(reference, Scheduler, "scheduler", PolicyError)
        self._name = reference.rpartition("/")[2]
        self._file = reference.rpartition(":")[0]
        self._rules = rules
        try:
            self._scheduler: Scheduler = made(context)
            own = min(max(int(self._scheduler.history), 1), MAX_HISTORY)
        except (Exception, SystemExit) as error:
            raise PolicyError(f"scheduler {self._said(error)}") from error
        self.history = max(own, rules.history)
        self._own_history = own

    def observe(self, batch: FlowBatch) -> NDArray[np.uint8]:
        """See Scheduler."""
        by_rules = self._rules.observe(batch)

        def ask() -> NDArray[np.uint8]:
            given = np.asarray(self._scheduler.observe(self._view(batch)))
            if given.shape != (len(batch),):
                raise ValueError(f"observe returned shape {given.shape} for {len(batch)} flows")
            return given.astype(np.uint8)

        reasons: NDArray[np.uint8] = self._guarded(ask, by_rules)
        return reasons

    def feedback(self, batch: FlowBatch, by_model: NDArray[np.bool_]) -> None:
        """See Scheduler."""
        self._rules.feedback(batch, by_model)
        self._guarded(lambda: self._scheduler.feedback(self._view(batch), by_model), None)

    def forget(self, flows: Sequence[int]) -> None:
        """See Scheduler."""
        self._rules.forget(flows)
        self._guarded(lambda: self._scheduler.forget(flows), None)

    def _view(self, batch: FlowBatch) -> FlowBatch:
        """The batch with as many windows as the user's scheduler reads."""
        newest = slice(-self._own_history, None)
        return replace(batch, windows=batch.windows[:, newest], valid=batch.valid[:, newest])

    def _guarded(self, ask: Callable[[], Any], instead: Any) -> Any:
        if self._scheduler is self._rules:
            return instead
        try:
            return ask()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a user's code raises
            log.warning("scheduler %s: %s; the rules schedule", self._name, self._said(error))
            self._scheduler = self._rules
            return instead

    def _said(self, error: BaseException) -> str:
        first = next(iter(str(error).splitlines()), "")
        return f"{place(error, self._file)}: {type(error).__name__}: {first}"
