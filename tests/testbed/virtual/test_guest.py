"""A guest's command line, its environment, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import UserError
from testbed.run.environment import virtual_time
from testbed.scenario import parse_scenario
from testbed.virtual import guest
from testbed.virtual.job import Job
from testbed.virtual.kernel import Kernel
from testbed.virtual.run import check

KERNEL = Kernel(Path("/cache/1234"), "6.12.117", "linux-source-6.12 1", "c0ffee")


def booted() -> list[str]:
    return guest.command(KERNEL, memory_mib=2048)


def test_the_command_line_asks_for_virtual_time() -> None:
    argv = booted()
    assert argv[0] == "/cache/1234/linux"
    assert {"time-travel=inf-cpu", "mem=2048M", "rootfstype=hostfs"} < set(argv)


def test_the_guest_knows_its_clock_from_the_command_line() -> None:
    said = virtual_time(" ".join(booted()))
    assert said == {
        "clock": "inf-cpu",
        "start_ns": str(guest.START_NS),
        "kernel_configuration_sha256": "c0ffee",
    }
    assert virtual_time("BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet") is None


def test_the_environment_has_nothing_of_the_host_but_where_things_are() -> None:
    found = guest.environment({"PATH": "/opt/bin", "PYTHONHASHSEED": "7", "SECRET": "x"})
    assert found["PATH"] == "/opt/bin"
    assert found["PYTHONHASHSEED"] == "0"
    assert "SECRET" not in found
    assert "HOME" not in found


def test_the_start_script_quotes() -> None:
    text = guest.start_script({"A": "it's"}, ["python", "-m", "a b"], Path("/home/x y"))
    assert "export A='it'\"'\"'s'\n" in text
    assert "cd '/home/x y'\n" in text
    assert "python -m 'a b'" in text


def test_more_flows_get_more_memory() -> None:
    assert guest.memory_mib(1) < guest.memory_mib(64)


def test_a_job_survives_the_way_into_the_guest() -> None:
    scenario = parse_scenario({"rate": "12mbit", "rtt": "40ms", "loss": "ge:1%,30%"}, "test")
    job = Job(scenario=scenario, run_id="20260101T000000-abcdef", quiet=True)
    again = Job.model_validate_json(job.model_dump_json(by_alias=True, exclude_unset=True))
    assert again.scenario == scenario
    # Who did not name controllers gets those that the guest can run.
    assert "cc" not in again.scenario.model_fields_set


def test_a_server_outside_is_refused() -> None:
    scenario = parse_scenario({"policy_server": "unix:/tmp/server.sock"}, "test")
    with pytest.raises(UserError, match="a guest reaches no server outside"):
        check(scenario)


def test_a_failing_server_is_refused_where_there_is_none() -> None:
    failing = {"failures": [{"kind": "server", "at": "1s"}]}
    with pytest.raises(UserError, match=r"failures\.0\.kind: server"):
        check(parse_scenario(failing, "test"))
