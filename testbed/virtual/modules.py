"""Modules of the guest's kernel: built with it, loaded by every guest."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from testbed.errors import UserError
from testbed.virtual import datapath, relay

NAMES = (relay.NAME, *datapath.NAMES)
"""The files of all modules."""
_FINIT_MODULE = 313  # of x86-64


def load(folder: Path) -> None:
    """Put the modules in the folder into the running kernel. Raises UserError."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name in NAMES:
        with (folder / name).open("rb") as file:
            if libc.syscall(_FINIT_MODULE, file.fileno(), b"", 0):
                raise UserError(f"{name}: {os.strerror(ctypes.get_errno())}")
