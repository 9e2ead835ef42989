"""Probes of what virtual time needs: a guest's kernel, and the right to trace a process."""

from __future__ import annotations

import ctypes
import os

from testbed.doctor.finding import Finding
from testbed.virtual import kernel

_PTRACE_TRACEME = 0


def may_trace() -> bool:
    """Whether a process here may be traced by its parent: a kernel that runs as a program traces
    its own processes.
    """
    libc = ctypes.CDLL(None)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if libc.ptrace(_PTRACE_TRACEME, 0, 0, 0) == 0 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def virtual_time() -> Finding:
    """Whether `tbtest run --virtual` works, and whether its kernel is built already."""
    name = "virtual time"
    if not may_trace():
        cost = "no `tbtest run --virtual`"
        remedy = "allow ptrace: a container needs --cap-add SYS_PTRACE or a newer runtime"
        return Finding(name, "missing", "ptrace is refused", cost, remedy)
    found = kernel.cached()
    if found is not None:
        return Finding(name, "ok", f"Linux {found.version} is built, ptrace is allowed")
    lacking = kernel.missing_tools()
    cost = "the first `tbtest run --virtual` builds a kernel, which takes minutes"
    remedy = f"apt-get install {' '.join(lacking)}" if lacking else "tbtest run --virtual"
    return Finding(name, "limited", "no kernel is built yet, ptrace is allowed", cost, remedy)
