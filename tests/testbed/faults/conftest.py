"""One cell with a fault per run, and a witness of all that the run created on the host."""

from __future__ import annotations

import ctypes
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.ebpf import libbpf
from bench.fault_rig import FAULTS, Fault, Rig
from bench.faults import Outcome, run
from testbed.links.base import LinkSample
from testbed.system.pids import ProcessId, processes_of_run
from testbed.system.state import STATE_DIR


def _bpf_objects(pins: Path) -> set[tuple[str, int]]:
    """("map" | "link", id) of all that is pinned in the folder."""
    found: set[tuple[str, int]] = set()
    for pin in (entry for entry in pins.iterdir() if entry.is_file()):
        fd = libbpf.get(pin)
        try:
            text = Path(f"/proc/self/fdinfo/{fd}").read_text()
        finally:
            os.close(fd)
        found |= {
            (kind, int(number))
            for kind, number in re.findall(r"^(map|link)_id:\s*(\d+)", text, re.M)
        }
    return found


def _exists(kind: str, number: int) -> bool:
    fd = getattr(libbpf.library(), f"bpf_{kind}_get_fd_by_id")(ctypes.c_uint32(number))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


class WatchedRig(Rig):
    """Notes what the run has in the kernel and which processes."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.objects: set[tuple[str, int]] = set()
        self.processes: set[ProcessId] = set()

    def step(self, sample: LinkSample, elapsed_ns: int) -> None:
        super().step(sample, elapsed_ns)
        found = map(ProcessId.of, (self.agent.process.pid, self.server.pid))
        self.processes |= {process for process in found if process is not None}
        if not self.objects:
            self.objects = _bpf_objects(self.agent.config.pins)


@dataclass(frozen=True)
class Done:
    """A run with a fault that has ended."""

    rig: WatchedRig
    run_id: str
    outcome: Outcome

    def after_fault(self) -> list[str]:
        """Who held the flow from the fault on, in order."""
        return [
            span.tier for span in self.outcome.in_force() if span.stop_ns > self.outcome.fault_ns
        ]

    def check_passed_to(self, holder: str) -> None:
        """After the fault ``holder`` held the flow for a while, then gcc again."""
        tiers = self.after_fault()
        first = next((i for i, tier in enumerate(tiers) if tier.startswith(holder)), len(tiers))
        assert "gcc" in tiers[first + 1 :], tiers

    def check_flow_kept_going(self) -> None:
        second, at_ns = 1_000_000_000, self.outcome.fault_ns
        before = self.outcome.goodput_bps(at_ns - second, at_ns)
        assert before > 1e6
        assert self.outcome.goodput_bps(at_ns, at_ns + second) > before / 3

    def check_nothing_left(self) -> None:
        assert {kind for kind, _ in self.rig.objects} >= {"map"}
        assert self.rig.processes
        _assert_gone(self.run_id, self.rig.agent.cc_name, self.rig.objects, self.rig.processes)


def _assert_gone(
    run_id: str, cc_name: str, objects: set[tuple[str, int]], processes: set[ProcessId]
) -> None:
    assert not (Path("/sys/fs/bpf") / f"tbtest-{cc_name}").exists()
    available = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    assert cc_name not in available
    # The kernel frees BPF objects a grace period after their last user.
    end = time.monotonic() + 30
    while (left := {each for each in objects if _exists(*each)}) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left
    assert not list(processes_of_run(run_id))
    assert not [process for process in processes if process.alive()]
    assert not (STATE_DIR / f"{run_id}.json").exists()
    assert not Path(f"/tmp/tbtest-{run_id}").exists()
    assert run_id not in Path("/proc/net/unix").read_text()


@pytest.fixture
def with_fault(tmp_path: Path) -> Callable[..., Done]:
    """Runs one cell with the named fault, and checks what holds for all of them.

    A cell is long enough for repairs on a machine that is busy with other work.
    """

    def run_one(name: str, duration_s: float = 10.0, **changes: object) -> Done:
        rig = WatchedRig(replace(FAULTS[name], **changes))
        run_id = run(rig, tmp_path / "run", duration_s)
        done = Done(rig, run_id, Outcome.read(tmp_path / "run"))
        done.check_flow_kept_going()
        done.check_nothing_left()
        return done

    return run_one


@pytest.fixture
def bpf_objects() -> Callable[..., set[tuple[str, int]]]:
    return _bpf_objects


@pytest.fixture
def assert_gone() -> Callable[..., None]:
    return _assert_gone
