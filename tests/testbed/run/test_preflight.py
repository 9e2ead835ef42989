"""What a cell needs of the machine is said before anything is created."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from unittest import mock

import pytest

from testbed.controllers.base import can_select
from testbed.errors import UserError
from testbed.run import preflight
from testbed.run.prepared import resolve
from testbed.run.runner import describe
from testbed.scenario import parse_scenario

MEMINFO = "MemTotal:       16384000 kB\nMemFree:          1000 kB\nMemAvailable:    1953125 kB\n"


def prepared(**changes):
    settings = {"rate": "5mbit", "duration": "2s", "flow": "bulk", "cc": ["cubic"], **changes}
    return resolve(parse_scenario(settings, "flags"))


def test_free_memory_is_what_the_kernel_calls_available():
    assert preflight._available_bytes(MEMINFO) == 2e9


def test_more_flows_than_memory_carries_are_refused_with_the_number_that_fits():
    preflight._check_memory(12, 2e9)
    with pytest.raises(UserError, match=r"64 flows are 128 processes.*enough for 12 flows"):
        preflight._check_memory(64, 2e9)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from testbed.run import preflight
preflight._allow_descriptors(64)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("soft", "hard", "then"), [(300, 4096, 1152), (2000, 4096, 2000)])
def test_the_limit_of_open_files_is_raised_to_what_is_needed(soft, hard, then):
    command = [sys.executable, "-c", LIMITED, str(soft), str(hard)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == then


def test_a_limit_of_open_files_that_is_too_low_is_named(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 512))
    with pytest.raises(UserError, match=r"need 1152 open files.*may open 512.*ulimit -Hn 1152"):
        preflight._allow_descriptors(64)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"flow": "video", "rtt": "5s", "duration": "120s"}, "jitter_buffer_ms"),
        ({"rtt": "1s", "duration": "5s"}, "5 round trips"),
    ],
)
def test_what_makes_a_scenario_doubtful_is_said(changes, text):
    (warning,) = prepared(**changes).warnings
    assert text in warning


def test_an_ordinary_scenario_is_not_doubted():
    assert prepared().warnings == ()
    assert prepared(flow="video").warnings == ()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rate": "1kbit", "duration": "10s"}, "1250 bytes can pass in the whole cell of 10s"),
        ({"loss": "100%"}, "every packet would be lost"),
        ({"loss": "ge:1,0.5,1,1"}, "every packet would be lost"),
    ],
)
def test_what_cannot_carry_a_flow_is_refused(changes, text):
    with pytest.raises(UserError, match=text):
        prepared(**changes)


@pytest.mark.parametrize("at_ms", [12_000, 30_000])
def test_an_outage_over_the_whole_cell_is_refused(tmp_path, at_ms):
    """Given as Mahimahi opportunities, the first of which comes after the cell's end."""
    path = tmp_path / "late.up"
    path.write_text("".join(f"{at_ms + step}\n" for step in range(100)))
    settings = {"trace": str(path), "duration": "10s", "flow": "bulk", "cc": ["cubic"]}
    with pytest.raises(UserError, match=r"an outage lasts for the whole cell of 10s"):
        resolve(parse_scenario(settings, "flags"))


def test_a_plan_needs_no_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    plan = describe(parse_scenario({"rate": "5mbit", "cc": ["cubic", "policy:gcc"]}, "flags"))
    assert [cell.split(",")[0] for cell in plan["cells"]] == ["000-cubic-r0", "001-policy.gcc-r0"]
    assert plan["link_backend"] == "relay"


def test_who_may_not_choose_a_controller_is_told_that_the_kernel_has_it(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", lambda *_: mock.MagicMock(
        __enter__=lambda self: mock.Mock(setsockopt=refuse)))  # fmt: skip
    assert can_select("bbr")
