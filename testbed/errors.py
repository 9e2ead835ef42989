"""Errors a user can cause and mend."""

from __future__ import annotations

import errno
from pathlib import Path


class UserError(Exception):
    """Bad input or a missing capability. The message names the file, key or value and the remedy.

    The command line prints it as one line and exits with status 2.
    """


_REMEDIES = {
    errno.ENOSPC: "free some space, or write to another disk",
    errno.EDQUOT: "your quota is used up: free some space, or write to another disk",
    errno.EROFS: "it is mounted read-only: choose another path, or remount it with `mount -o "
    "remount,rw`; a container needs --privileged",
    errno.EACCES: "you may not use it: run with sudo, or choose another path",
    errno.EPERM: "you may not use it: run with sudo, or choose another path",
    errno.EMFILE: "this process may open no more files: raise the limit with `ulimit -n 16384`",
    errno.ENFILE: "the system may open no more files: raise fs.file-max",
    errno.ENOENT: "is it the right path?",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder; name a file",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOMEM: "the machine has no memory left: stop other work",
}


def explain(error: OSError, path: Path | str | None = None) -> str:
    """`path: what the system says; what helps`. The path is the error's own where it has one."""
    named = error.filename if error.filename is not None else path
    text = error.strerror or str(error) or type(error).__name__
    remedy = _REMEDIES.get(error.errno or 0)
    return (f"{named}: " if named is not None else "") + text + (f"; {remedy}" if remedy else "")
