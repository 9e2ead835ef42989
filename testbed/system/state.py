"""The state file of a run: what `tbtest clean` must remove should the run die without unwinding."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from testbed.errors import UserError
from testbed.system.pids import ProcessId

STATE_DIR = Path("/run/tbtest")
_SCHEMA = 1


@dataclass(frozen=True)
class SpawnedProcess:
    """A process that the run started."""

    name: str
    process: ProcessId


@dataclass(frozen=True)
class RecordedPath:
    """A file or folder that the run is about to make outside its run folder."""

    kind: str
    path: str


@dataclass
class RunState:
    """The contents of ``<run_id>.json``. Every change is on disk before the method returns."""

    run_id: str
    process: ProcessId  # the run itself
    command: list[str]
    started_utc: str
    processes: list[SpawnedProcess] = field(default_factory=list)
    paths: list[RecordedPath] = field(default_factory=list)
    folder: Path = STATE_DIR

    @classmethod
    def create(cls, run_id: str, folder: Path = STATE_DIR) -> Self:
        """Write the state file of this process's run. Raises UserError without root or if the id is
        taken.
        """
        own = ProcessId.of(os.getpid())
        assert own is not None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (folder / f"{run_id}.json").exists():
                raise UserError(f"run {run_id}: the id is taken; see {folder / run_id}.json")
            state = cls(
                run_id,
                own,
                sys.argv,
                datetime.now(UTC).isoformat(timespec="seconds"),
                folder=folder,
            )
            state.write()
        except PermissionError as error:
            raise UserError(
                f"{folder}: {error.strerror}; network namespaces need root, run it with sudo"
            ) from error
        return state

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / f"{self.run_id}.json"

    @property
    def draft(self) -> Path:
        """Where the next version is written. Its name says whose it is, should it be all that is
        left.
        """
        return self.folder / f"{self.run_id}~{self.process.pid}~{self.process.start_ticks}.draft"

    def add_process(self, spawned: SpawnedProcess) -> None:
        """Write down a process."""
        self.processes.append(spawned)
        self.write()

    def drop_process(self, pid: int) -> None:
        """Forget a process that has ended."""
        self.processes = [known for known in self.processes if known.process.pid != pid]
        self.write()

    def add_path(self, recorded: RecordedPath) -> None:
        """Write down a path, before it is made."""
        self.paths.append(recorded)
        self.write()

    def drop_path(self, recorded: RecordedPath) -> None:
        """Forget a path that has been removed."""
        self.paths.remove(recorded)
        self.write()

    def write(self) -> None:
        """Replace the file atomically; UserError where the disk refuses.

        Not synced to disk: /run does not outlive a power failure anyway.
        """
        data = {"schema": _SCHEMA, **asdict(self)}
        del data["folder"]
        try:
            self.draft.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
            self.draft.replace(self.path)
        except PermissionError:
            raise
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be written: {error.strerror}; free space in {self.folder}"
            ) from error

    def remove(self) -> None:
        """Delete the file: nothing of the run is left."""
        self.draft.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def _parse(data: Any, folder: Path) -> RunState:
    if data["schema"] != _SCHEMA:
        raise ValueError(f"schema {data['schema']}")
    return RunState(
        run_id=data["run_id"],
        process=ProcessId(**data["process"]),
        command=data["command"],
        started_utc=data["started_utc"],
        processes=[
            SpawnedProcess(entry["name"], ProcessId(**entry["process"]))
            for entry in data["processes"]
        ],
        paths=[RecordedPath(**entry) for entry in data["paths"]],
        folder=folder,
    )


def read_states(folder: Path = STATE_DIR) -> tuple[list[RunState], list[Path]]:
    """All runs known, and the files there that cannot be understood. Raises UserError without the
    right to look.
    """
    states: dict[str, RunState] = {}
    unreadable = []
    try:
        files = sorted(folder.iterdir()) if folder.exists() else []
        for path in files:
            if path.suffix == ".json":
                try:
                    state = _parse(json.loads(path.read_text(encoding="utf-8")), folder)
                except FileNotFoundError:  # its run ended meanwhile
                    continue
                except (ValueError, KeyError, TypeError):
                    unreadable.append(path)
                    continue
                states[state.run_id] = state
    except PermissionError as error:
        raise UserError(f"{folder}: {error.strerror}; run it with sudo") from error
    for path in files:
        # A draft without a state file: the run died before it made anything else.
        run_id, _, owner = path.stem.partition("~")
        if path.suffix == ".draft" and run_id not in states:
            with contextlib.suppress(ValueError):
                pid, start_ticks = map(int, owner.split("~"))
                states[run_id] = RunState(
                    run_id, ProcessId(pid, start_ticks), [], "", folder=folder
                )
    return list(states.values()), unreadable
