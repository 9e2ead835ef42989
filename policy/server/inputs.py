"""The log of decisions with their inputs: rows are collected in memory and written in parts by a
thread, so that no decision waits for a disk.

`InputLog` is pure but for the `write` that it is given; `InputFiles` writes. A part is written one
part later than it is full, or old, because a model's answer comes after its window. What a server
that is killed had not written yet, the last minute at most, is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions
from policy.errors import PolicyError
from policy.tasks.congestion.fields import FIELDS
from policy.tasks.congestion.logged import ROWS, next_part, part_name, write_part

log = logging.getLogger("policy.server.inputs")
Ints = NDArray[np.int64]
Write = Callable[[NDArray[np.void], tuple[str, ...]], bool]
PART_ROWS = 65_536
PART_NS = 30_000_000_000
NO_ROW = -1


class InputLog:
    """Rows by number, from 0 on. write: takes a part's rows and their names; false: no more."""

    def __init__(self, slots: int, write: Write, part_rows: int = PART_ROWS) -> None:
        self._write, self._part_rows = write, part_rows
        self._row: Ints = np.full(slots, NO_ROW)  # of each slot's newest window
        self._names: dict[str, int] = {}
        self._open = True
        self._first, self._used, self._begun_ns = 0, 0, 0
        self._rows = self._blank()
        self._before: tuple[int, NDArray[np.void]] | None = None

    def windows(
        self,
        slots: Ints,
        agents: Sequence[str],
        columns: dict[str, NDArray[np.generic]],
        fields: NDArray[np.float64],
        now_ns: int,
    ) -> None:
        """One more window of each of these slots, all different. columns: by name of `ROWS`, [n];
        fields: float64[n, F]."""
        while len(slots):
            if self._used == self._part_rows or now_ns - self._begun_ns > PART_NS:
                self._turn(now_ns)
            if not self._open:
                self._row[slots] = NO_ROW
                return
            part = slice(min(self._part_rows - self._used, len(slots)))
            rows = self._rows[self._used : self._used + len(slots[part])]
            rows["agent"] = [self._code(name) for name in agents[part]]
            for name, values in columns.items():
                rows[name] = values[part]
            for index, name in enumerate(FIELDS):
                rows[name] = fields[part, index]
            self._row[slots[part]] = self._first + self._used + np.arange(len(rows))
            self._used += len(rows)
            rest = slice(part.stop, None)
            slots, agents, fields = slots[rest], agents[rest], fields[rest]
            columns = {name: values[rest] for name, values in columns.items()}

    def rows(self, slots: Ints) -> Ints:
        """Numbers of the rows of these slots' newest windows; NO_ROW where there is none."""
        return self._row[slots]

    def forget(self, slots: Ints) -> None:
        """These slots' flows have ended."""
        self._row[slots] = NO_ROW

    def by_rule(self, rows: Ints, name: str, actions: Actions, reasons: NDArray[np.uint8]) -> None:
        """What the rule policy answered to these rows, and why the flows are difficult."""
        self._answered(rows, "rule", name, actions, {"reasons": reasons})

    def by_model(self, rows: Ints, name: str, actions: Actions, sent: NDArray[np.bool_]) -> None:
        """What the model answered to these rows, and which answers were sent."""
        self._answered(rows, "model", name, actions, {"model_sent": sent})

    def close(self) -> None:
        """Write all that is left."""
        self._turn(0)
        self._turn(0)

    def _answered(
        self,
        rows: Ints,
        who: str,
        name: str,
        actions: Actions,
        columns: dict[str, NDArray[np.generic]],
    ) -> None:
        columns = columns | {
            who: np.full(len(rows), self._code(name)),
            f"{who}_pacing_rate_bps": actions.pacing_rate_bps,
            f"{who}_cwnd_packets": actions.cwnd_packets,
        }
        current = (self._first, self._rows[: self._used])
        for first, part in filter(None, (self._before, current)):
            here = (rows >= first) & (rows < first + len(part))
            for column, values in columns.items():
                part[column][rows[here] - first] = values[here]

    def _code(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _turn(self, now_ns: int) -> None:
        """The current part becomes the one before, and that is written."""
        self._begun_ns = now_ns
        if self._before is not None:
            self._open = self._write(self._before[1], tuple(self._names)) and self._open
            self._before = None
        if self._used:
            self._before = (self._first, self._rows[: self._used])
            self._first += self._used
            self._used, self._rows = 0, self._blank()

    def _blank(self) -> NDArray[np.void]:
        rows = np.zeros(self._part_rows, ROWS)
        for who in ("rule", "model"):
            rows[who] = -1
            rows[f"{who}_pacing_rate_bps"] = rows[f"{who}_cwnd_packets"] = np.nan
        return rows


class InputFiles:
    """Parts in a folder, written by a thread; takes no more once they have `limit_bytes`."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Raises PolicyError if the folder cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PolicyError(f"log_inputs: {folder}: {error.strerror}") from None
        self._folder, self._limit = folder, limit_bytes
        self._next = next_part(folder)
        self._bytes = 0
        self._thread = ThreadPoolExecutor(1, "inputs")
        self._last: Future[None] | None = None

    def write(self, rows: NDArray[np.void], names: tuple[str, ...]) -> bool:
        """Write a part in the background; false once the folder is full or cannot be written."""
        if self._bytes < self._limit:
            path = self._folder / part_name(self._next)
            self._next += 1
            self._last = self._thread.submit(self._save, path, rows, names)
        return self._bytes < self._limit

    def _save(self, path: Path, rows: NDArray[np.void], names: tuple[str, ...]) -> None:
        try:
            write_part(path, rows, names)
            self._bytes += path.stat().st_size
        except OSError as error:
            self._bytes = self._limit
            log.warning("%s: %s; no more inputs are logged", path, error.strerror)
            return
        if self._bytes >= self._limit:
            log.warning(
                "%s holds %d MiB; no more inputs are logged (log_inputs_mib)",
                self._folder,
                self._limit >> 20,
            )

    def close(self) -> None:
        """Wait until all is written."""
        self._thread.shutdown(wait=True)


@contextmanager
def opened(folder: Path | None, slots: int, limit_bytes: int) -> Iterator[InputLog | None]:
    """The log in this folder, whole when the context ends; None without a folder."""
    if folder is None:
        yield None
        return
    files = InputFiles(folder, limit_bytes)
    inputs = InputLog(slots, files.write)
    try:
        yield inputs
    finally:
        inputs.close()
        files.close()
