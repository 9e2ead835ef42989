"""Errors a user can cause and mend."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or a missing capability. The message names the file, key or value and the remedy.

    The command line prints it as one line and exits with status 2.
    """
