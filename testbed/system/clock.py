"""Whose time this process lives in."""

from __future__ import annotations

import os

VIRTUAL_TIME = "TBTEST_VIRTUAL_TIME"
"""The environment variable that a guest's programs find set."""


def in_virtual_time() -> bool:
    """Whether this is a guest whose clock skips ahead (`testbed.virtual`)."""
    return bool(os.environ.get(VIRTUAL_TIME))
