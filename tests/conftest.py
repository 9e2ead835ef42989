"""Settings of every test: signals as a program expects them, and examples that no machine is too
slow for.

The tests send SIGINT and SIGHUP to processes they start; these must not inherit that they are
ignored.
A shell starts background jobs with SIGINT ignored, and nohup ignores SIGHUP. What is ignored stays
so in children.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Fixtures that the tests of several folders of policy/ share.
pytest_plugins = ("tests.policy.small_models", "tests.policy.small_experience")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Neither the time of an example nor that of drawing it may fail a test: the machine may be busy.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: `make test` and CI say the same of the same commit.
settings.register_profile("ci", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "explore")


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """How `make test` shares the tests out to two workers."""
    from tests.workers import RootAlone

    return RootAlone(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this user, or this kernel, cannot run, and say which."""
    if item.get_closest_marker("root") and os.geteuid():
        pytest.skip("needs root and network namespaces")
    if item.get_closest_marker("ebpf"):
        from agent.ebpf import loader

        if reason := loader.unavailable():
            pytest.skip(f"the eBPF datapath cannot run here: {reason}")
