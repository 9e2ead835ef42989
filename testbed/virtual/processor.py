"""A processor for each guest: its kernel and its programs take turns, and a turn that changes the
processor takes twice as long.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_processor(folder: Path) -> Iterator[int | None]:
    """A processor that no other guest of this user has, as locks in the folder say; None if all are
    taken.
    """
    for number in sorted(os.sched_getaffinity(0)):
        with (folder / f"processor-{number}").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    yield None
