"""Signals as exceptions: SIGINT, SIGTERM and SIGHUP raise Interrupted in the main thread, so that
scopes unwind.

Python may run a signal handler between any two instructions, also in the middle of a clean-up. What
must not be cut in two is decorated with ``unbroken``: a signal that arrives inside waits until it
has returned.

An exception may also be lost: Python ignores it in a finaliser or a callback of a weak reference,
and libraries catch what they should not. So a signal stays pending until the outermost scope has
ended, and is raised anew after the next unbroken function while no such exception is under way.
"""

from __future__ import annotations

import functools
import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_pending: int | None = None


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.signum = signum


def unbroken(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: no signal becomes an exception inside ``function``; a waiting one is raised after
    its return.
    """

    @functools.wraps(function)
    def shield(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        finally:
            _raise_pending(sys._getframe(1))

    _shields.add(cast(FunctionType, shield).__code__)
    return shield


_shields: set[CodeType] = set()


def _shielded(frame: FrameType | None) -> bool:
    """Whether ``frame`` runs inside an unbroken function. The stack is asked, not a counter: a
    counter could itself be interrupted before it is raised."""
    while frame is not None:
        if frame.f_code in _shields:
            return True
        frame = frame.f_back
    return False


def _raise_pending(caller: FrameType) -> None:
    if _pending is None or isinstance(sys.exception(), Interrupted):
        return
    if threading.current_thread() is threading.main_thread() and not _shielded(caller):
        raise Interrupted(_pending)


def _on_signal(signum: int, frame: FrameType | None) -> None:
    global _pending
    _pending = signum
    if not _shielded(frame):
        raise Interrupted(signum)


def forgive() -> None:
    """A caught signal has had its effect: it is not raised anew. Another one is."""
    global _pending
    _pending = None


def install() -> dict[int, Any]:
    """Let the signals raise Interrupted, except those the caller's parent had ignored (nohup).
    Returns what was there.

    In another than the main thread nothing is changed: Python delivers signals to the main thread
    only.
    """
    global _pending
    if threading.current_thread() is not threading.main_thread():
        return {}
    _pending = None  # what an earlier scope may have left waiting is not meant for this one
    return {
        signum: signal.signal(signum, _on_signal)
        for signum in _SIGNALS
        if signal.getsignal(signum) is not signal.SIG_IGN
    }


def restore(previous: dict[int, Any]) -> None:
    """Put back what ``install`` returned; what was pending has had its effect."""
    global _pending
    if previous:
        _pending = None
    for signum, handler in previous.items():
        signal.signal(signum, handler)
