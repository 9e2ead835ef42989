"""Which kernel features the tc backend needs and this kernel lacks, tried out in a namespace of its
own.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000

_PROBES = {
    "sch_htb": "qdisc add dev lo root htb",
    "sch_netem": "qdisc add dev lo root netem delay 1ms",
    "sch_ingress": "qdisc add dev lo ingress",
    "act_mirred and cls_matchall": (
        "filter add dev lo parent ffff: matchall action mirred egress redirect dev lo"
    ),
}


@cache
def missing_features() -> tuple[str, ...]:
    """Names of the kernel modules that are neither built in nor loadable. Needs root. Raises
    OSError.
    """
    with ThreadPoolExecutor(1) as thread:  # its namespace ends with it
        return thread.submit(_missing).result()


def _missing() -> tuple[str, ...]:
    if _libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    missing = []
    for feature, command in _PROBES.items():
        done = subprocess.run(["tc", *command.split()], capture_output=True, check=False)
        if done.returncode != 0:
            missing.append(feature)
        elif " root " in command:
            subprocess.run(["tc", *["qdisc", "del", "dev", "lo", "root"]], check=True)
    return tuple(missing)
