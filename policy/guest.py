"""A user's own policy, by `path/to/file.py:Class`, held at arm's length: whatever it raises or
returns, the server goes on, and who waits for its answer gets none (`NoDecision`).
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plugins import PluginError, load_class, place
from policy.api import Actions, FlowBatch, PolicyContext
from policy.errors import NoDecision, PolicyError
from policy.tasks.registry import DEFAULT, learned_task

log = logging.getLogger("policy.guest")


class Decides(Protocol):
    """What a user's class must have. `policy.api.Policy` says what it may have besides."""

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """One action per flow of the batch."""


def load(reference: str) -> type[Any]:
    """The class, not built yet. Runs its file. Raises PolicyError in one line."""
    try:
        return load_class(reference, Decides, "policy", PolicyError)
    except PluginError as error:
        raise PolicyError(str(error)) from error


def label(reference: str) -> str:
    """`mine.py:Mine` of `/a/path/to/mine.py:Mine`, for tables."""
    return reference.rpartition("/")[2]


class GuestPolicy:
    """A user's policy as the server takes it: attributes with defaults, answers checked."""

    def __init__(self, reference: str, context: PolicyContext) -> None:
        """Build the user's class, with the context if its constructor takes an argument.

        Raises PolicyError in one line if the file, the class or its construction fails.
        """
        made = load(reference)
        self.name = label(reference)
        self._file = reference.rpartition(":")[0]
        self._ended: list[int] = []
        self._warned: set[str] = set()
        try:
            self._policy = made(context) if _takes_context(made) else made()
            longest = learned_task(DEFAULT).history
            self.history = min(max(int(getattr(self._policy, "history", longest)), 1), longest)
            self.yields = bool(getattr(self._policy, "yields", False))
            if (largest := getattr(self._policy, "max_batch", None)) is not None:
                self.max_batch = max(int(largest), 1)
        except (Exception, SystemExit) as error:
            raise PolicyError(f"policy {self._said(error)}") from error

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """What the user's policy decides. Raises NoDecision where it fails or returns no actions;
        the first failure of a kind is logged.
        """
        ended, self._ended = self._ended, []
        try:
            if ended and hasattr(self._policy, "forget"):
                self._policy.forget(ended)
            actions = _actions(self._policy.decide(batch, now_ns), len(batch))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a user's code raises
            self._warn(type(error).__name__, f"{self._said(error)}; the local policy decides")
            raise NoDecision(self._said(error)) from None
        rate, cwnd = actions.pacing_rate_bps, actions.cwnd_packets
        if not (np.isfinite(rate) & np.isfinite(cwnd) & (rate > 0) & (cwnd > 0)).all():
            self._warn("value", "rates or cwnds that are no positive numbers are not sent")
        return actions

    def forget(self, flows: Sequence[int]) -> None:
        """Kept for the next `decide`, which may run in another thread."""
        self._ended = [*self._ended, *flows]

    def _said(self, error: BaseException) -> str:
        first = next(iter(str(error).splitlines()), "")
        return f"{place(error, self._file)}: {type(error).__name__}: {first}"

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("policy %s: %s (said once)", self.name, text)


def _takes_context(made: type[Any]) -> bool:
    try:
        inspect.signature(made).bind(None)
    except TypeError:
        return False
    return True


def _actions(given: Any, count: int) -> Actions:
    """The answer as float64[count] twice. Raises TypeError or ValueError that says what it is."""
    try:
        rate, cwnd = given.pacing_rate_bps, given.cwnd_packets
    except AttributeError:
        raise TypeError(f"decide returned {type(given).__name__} instead of Actions") from None
    return Actions(_column("pacing_rate_bps", rate, count), _column("cwnd_packets", cwnd, count))


def _column(name: str, values: Any, count: int) -> NDArray[np.float64]:
    column = np.asarray(values, np.float64)
    if column.shape != (count,):
        raise ValueError(f"{name} has shape {column.shape} for {count} flows")
    return column
