"""Cells given to workers that answer each with a line of JSON: what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar, cast

from testbed.grid.executors import spread
from testbed.grid.expand import GridRun
from testbed.grid.work import Work

R = TypeVar("R", bound=GridRun)
OnStart = Callable[[R], None]
OnEnd = Callable[[R, dict[str, Any] | None, str | None], None]
"""Called with the cell and what was measured, or with what went wrong."""


def spread_measured(
    work: Work,
    *,
    executor: str | None,
    ray_address: str | None,
    workers: int | None,
    on_start: OnStart[R],
    on_end: OnEnd[R],
) -> None:
    """`testbed.grid.executors.spread` for such workers; R: the runs of `work`. Raises UserError."""

    def ended(run: GridRun, line: str, error: str | None) -> None:
        measured, wrong = answer_of(line) if error is None else (None, error)
        on_end(cast(R, run), measured, wrong)

    spread(
        work,
        executor=executor,
        ray_address=ray_address,
        workers=workers,
        on_start=lambda run: on_start(cast(R, run)),
        on_end=ended,
    )


def answer_of(line: str) -> tuple[dict[str, Any] | None, str | None]:
    """What a worker measured, by the line that it printed; or what is wrong with the line."""
    try:
        return dict(json.loads(line)), None
    except (ValueError, TypeError):
        return None, f"the worker printed {line[:80]!r} instead of its row"
