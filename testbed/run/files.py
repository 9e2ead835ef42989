"""Writing the run folder: whole files or none, and a full disk said plainly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.files import CELLS, TRACES
from testbed.errors import UserError, explain


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Replace ``path`` atomically. Raises UserError where the disk refuses."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        temporary.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot be written: {explain(error, path)}") from error


def new_run_folder(out: Path | None, run_id: str) -> Path:
    """Create ``out``, or ``runs/<run_id>``. Raises UserError if it exists with content or cannot be
    made.
    """
    folder = out if out is not None else Path("runs") / run_id
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"--out {folder}: the folder is not empty; choose another or remove it")
        (folder / CELLS).mkdir()
        (folder / TRACES).mkdir()
    except OSError as error:
        raise UserError(f"{explain(error, folder)} (choose another --out)") from error
    return folder


def utc_stamp() -> str:
    """``20260131T235959``, for names that sort by time."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
