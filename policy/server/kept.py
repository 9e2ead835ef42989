"""What a scheduler has learnt, in a file, from one start of the server to the next."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from policy.scheduler.base import Adapts, Scheduler

log = logging.getLogger("policy.server.kept")
_MAX_BYTES = 2**20


def restore(scheduler: Scheduler, path: Path | None) -> None:
    """Go on from the file. One that is missing, or of no use, is a start from nothing; the log
    says so.
    """
    if path is None or not isinstance(scheduler, Adapts):
        return
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES >> 20} MiB")
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise ValueError("no mapping")  # noqa: TRY004  # of a file
        scheduler.restore(state)
    except FileNotFoundError:
        log.info("scheduler_state: %s is not there yet", path)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        log.warning("scheduler_state: %s: %s; the scheduler starts anew", path, error)


def save(scheduler: Scheduler, path: Path | None) -> None:
    """Write the file whole. A disk that is full or read-only costs the state, not the service."""
    if path is None or not isinstance(scheduler, Adapts):
        return
    draft = path.with_suffix(f"{path.suffix}.new")
    try:
        draft.write_text(json.dumps(scheduler.state()), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        log.warning("scheduler_state: %s: %s", path, error.strerror)
