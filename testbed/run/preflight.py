"""What a cell needs of this machine, asked before anything is created."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from testbed.errors import UserError
from testbed.run.prepared import Prepared

# Resident memory of a traffic process: 44 MB (bulk), 76 MB (video), and its logs until its end.
_PROCESS_BYTES = 80e6
# Descriptors that a run holds: four a process and three a namespace; the rest is for links,
# controllers and libraries.
_FLOW_DESCRIPTORS = 2 * 4 + 2 * 3
_OTHER_DESCRIPTORS = 256


def check_machine(prepared: Prepared) -> None:
    """Raise the limit of open files as far as needed and allowed, and look at the free memory.

    Raises UserError that names what is short and how many flows fit.
    """
    scenario = prepared.scenario
    flows = scenario.flows + len(scenario.cross_traffic)
    _allow_descriptors(flows)
    _check_memory(flows, _available_bytes(Path("/proc/meminfo").read_text(encoding="ascii")))


def flows_within(descriptors: int) -> int:
    """Flows that a run can have where its process may open so many files."""
    if descriptors == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(0, (descriptors - _OTHER_DESCRIPTORS) // _FLOW_DESCRIPTORS)


def _allow_descriptors(flows: int) -> None:
    needed = _OTHER_DESCRIPTORS + flows * _FLOW_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard < needed and hard != resource.RLIM_INFINITY:
        raise UserError(
            f"{flows} flows need {needed} open files, and this process may open {hard}: raise the "
            f"limit with `ulimit -Hn {needed}`, or use fewer --flows"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _check_memory(flows: int, available_bytes: float) -> None:
    needed_bytes = flows * 2 * _PROCESS_BYTES
    if needed_bytes <= available_bytes:
        return
    fitting = int(available_bytes / (2 * _PROCESS_BYTES))
    raise UserError(
        f"{flows} flows are {2 * flows} processes, which take {needed_bytes / 1e9:.1f} GB; "
        f"{available_bytes / 1e9:.1f} GB of memory are available, enough for {fitting} flows"
    )


def _available_bytes(meminfo: str) -> float:
    """MemAvailable of the text of /proc/meminfo (proc(5)), which counts in kB."""
    line = next(line for line in meminfo.splitlines() if line.startswith("MemAvailable:"))
    return float(line.split()[1]) * 1024
