"""Probes of the machine's state: head-room, timers, disk, leftovers."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import time
from pathlib import Path

import numpy as np

from testbed.doctor.finding import Finding, verdict
from testbed.errors import UserError
from testbed.run.cpu import cpu_shares, read_cpu_times
from testbed.run.preflight import flows_within
from testbed.system.state import read_states

_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30
_MAX_FLOWS = 64
_STARVED = (
    "starved of processor time the emulation delays packets itself, which looks like congestion"
)


def cpu(interval_s: float = 0.5) -> Finding:
    """Cores, and how busy they are with others' work."""
    stat = Path("/proc/stat")
    before = read_cpu_times(stat.read_text())
    time.sleep(interval_s)
    shares = cpu_shares(before, read_cpu_times(stat.read_text()))
    cores = os.cpu_count() or 1
    enough = cores >= 2 and shares["busy"] < 0.5 and shares["steal"] < 0.05
    return Finding(
        "processor",
        "ok" if enough else "limited",
        f"{cores} cores, {shares['busy']:.0%} busy, {shares['steal']:.1%} stolen, load "
        f"{os.getloadavg()[0]:.2f}",
        cost=_STARVED,
        remedy="stop other work; use a machine with two cores or more of its own",
    )


def sleep_lateness_ns(count: int = 200, period_ns: int = 1_000_000) -> list[int]:
    """How late clock_nanosleep wakes us, per sleep of ``period_ns``, with a timer slack of 1 ns."""
    libc = ctypes.CDLL(None, use_errno=True)
    slack = libc.prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0)
    libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        lateness = []
        for _ in range(count):
            due_ns = time.monotonic_ns() + period_ns
            time.sleep(period_ns / 1e9)
            lateness.append(time.monotonic_ns() - due_ns)
    finally:
        libc.prctl(_PR_SET_TIMERSLACK, slack, 0, 0, 0)
    return lateness


def timer() -> Finding:
    """Lateness of sleeping to a deadline, as every emulated departure does."""
    p50_us, p99_us = np.percentile(sleep_lateness_ns(), [50, 99]) / 1000
    return Finding(
        "timer",
        "ok" if p99_us < 1000 else "limited",
        f"wakes {p50_us:.0f} µs late (p50), {p99_us:.0f} µs (p99)",
        cost="packets leave late by as much; the report shows by how much",
        remedy=(
            "stop other work; use a kernel with CONFIG_HIGH_RES_TIMERS, on a host that is not "
            "overcommitted"
        ),
    )


def open_files() -> Finding:
    """How many files a process may open: a run holds about 14 for each flow."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    flows = flows_within(hard)
    return Finding(
        "open files",
        "missing" if flows < 1 else "limited" if flows < _MAX_FLOWS else "ok",
        f"{hard} allowed, enough for {min(flows, _MAX_FLOWS)} flows",
        cost="no runs of more flows",
        remedy="raise the limit with `ulimit -Hn 16384`, or in /etc/security/limits.conf",
        essential=True,
    )


def disk(folder: Path = Path()) -> Finding:
    """Room for run folders; every packet is logged."""
    free_bytes = shutil.disk_usage(folder).free
    state = "ok" if free_bytes > 2e9 else "limited" if free_bytes > 2e8 else "missing"
    return Finding(
        "disk",
        state,  # type: ignore[arg-type]
        f"{free_bytes / 1e9:.1f} GB free in {folder.resolve()}",
        cost="long runs cannot be written",
        remedy="free some space, or write elsewhere by --out",
        essential=True,
    )


def leftovers() -> Finding:
    """Runs that died without cleaning up."""
    try:
        dead = [state.run_id for state in read_states()[0] if not state.process.alive()]
    except UserError as error:
        return Finding("leftovers", "ok", str(error))
    return verdict(
        "leftovers",
        not dead,
        f"of dead runs: {', '.join(dead)}" if dead else "none",
        cost="processes of dead runs may use the processor",
        remedy="tbtest clean",
    )
