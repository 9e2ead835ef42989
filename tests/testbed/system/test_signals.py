import gc
import os
import signal
import sys

import pytest

from testbed.system import signals
from testbed.system.signals import Interrupted, unbroken


@pytest.fixture(autouse=True)
def handlers():
    previous = signals.install()
    yield
    signals.restore(previous)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_raise(signum: int) -> None:
    with pytest.raises(Interrupted) as caught:
        os.kill(os.getpid(), signum)
    assert caught.value.signum == signum


def test_unbroken_finishes_first() -> None:
    steps = []

    @unbroken
    def inner() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        steps.append("inner")

    @unbroken
    def outer() -> None:
        inner()
        steps.append("outer")

    with pytest.raises(Interrupted):
        outer()
    assert steps == ["inner", "outer"]


def test_a_signal_lost_in_a_finaliser_is_raised_later(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finalised:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(3):  # where the exception is raised, and ignored
                pass

    @unbroken
    def later() -> None:
        pass

    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    Finalised()
    gc.collect()
    assert len(ignored) == 1
    with pytest.raises(Interrupted):
        later()


def test_an_exception_under_way_is_not_raised_twice() -> None:
    @unbroken
    def clean() -> None:
        steps.append("cleaned")

    def interrupted() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            clean()
            steps.append("and what follows")

    steps: list[str] = []
    with pytest.raises(Interrupted):
        interrupted()
    assert steps == ["cleaned", "and what follows"]


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    previous = signals.install()
    assert signal.SIGHUP not in previous
    os.kill(os.getpid(), signal.SIGHUP)
    signals.restore(previous)


def test_a_cleanup_survives_signals_at_any_instruction() -> None:
    """A tracer sends a signal at every line and call of a clean-up, one run for each: it always
    completes.
    """

    def run(at: int) -> tuple[bool, int]:
        done = []
        events = 0

        @unbroken
        def clean() -> None:
            for step in range(3):
                done.append(step)

        def trace(frame, event, arg):
            nonlocal events
            if "shield" in frame.f_code.co_name or frame.f_code.co_name == "clean":
                events += 1
                if events == at:
                    os.kill(os.getpid(), signal.SIGINT)
            return trace

        sys.settrace(trace)
        try:
            clean()
        except Interrupted:
            pass
        finally:
            sys.settrace(None)
        return done == [0, 1, 2], events

    _, total = run(-1)
    assert total > 8
    assert all(run(at)[0] for at in range(1, total + 1))
